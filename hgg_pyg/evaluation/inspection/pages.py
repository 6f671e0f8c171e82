"""The images of an inspection: one page per question, in the order in which a network works."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from hgg_pyg.evaluation.inspection.body_map import BodyMap
from hgg_pyg.evaluation.inspection.findings import Findings, View
from hgg_pyg.evaluation.inspection.summary import led_by_most, mean_shares
from hgg_pyg.io.files import write_atomically
from hgg_pyg.io.shown import drawable

PAGES = (
    "01_gaussians.png",
    "02_intra_frames.png",
    "03_intra_entropy.png",
    "04_inter_reach.png",
    "05_changes.png",
    "06_renders.png",
)
"""All pages there can be; those of layers that a network lacks are not written."""

_WIDTH = 15.0  # inches
_COLORS = (0, 1, 2, 3, 4, 5, 8, 6, 9)  # of tab10, but its grey


def save_pages(folder: Path, found: Findings) -> list[Path]:
    """Draw every page that this network has into a folder; pages of an earlier network that it lacks are removed.

    Returns:
        The files, in the order to read them.
    """
    body = BodyMap(found.vertices.double().numpy(), found.faces.numpy())
    figures = {PAGES[0]: _gaussians(found, body)} if bool(found.bound.any()) else {}
    if found.intra:
        figures |= {PAGES[1]: _frames(found, body), PAGES[2]: _entropy(found, body)}
    if found.inter:
        figures[PAGES[3]] = _reach(found, body)
    figures |= {PAGES[4]: _changes(found, body), PAGES[5]: _renders(found)}
    for name in PAGES:
        if name in figures:
            write_atomically(folder / name, lambda path, figure=figures[name]: figure.savefig(path, dpi=100))
        else:
            (folder / name).unlink(missing_ok=True)
    return [folder / name for name in figures]


def _gaussians(found: Findings, body: BodyMap) -> Figure:
    bound = found.bound.double().numpy()
    without = int((bound == 0).sum())
    note = f"grey: no Gaussian, {without:,} of {len(bound):,} vertices ({without / len(bound):.1%})"
    title = f"How many Gaussians of all {len(found.frames)} input frames bind to each vertex"
    figure = _page(1, 4.3, title, found, note)
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
    some = np.where(bound > 0, bound, np.nan)
    there = some[np.isfinite(some)]
    most = max(2, there.max())
    bar = _paint(left, body, some, LogNorm(1, most), colormaps["viridis"], "Gaussians per vertex (log scale)")
    ticks = [tick for power in range(6) for tick in (10**power, 2 * 10**power, 5 * 10**power) if tick <= most]
    bar.set_ticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    bar.minorticks_off()
    left.set_title(f"Gaussians per vertex, at most {there.max():,.0f}")
    high = np.percentile(there, 99.5)
    each = np.ceil(high / 40)  # whole numbers: else some bars would hold more of them than others
    bars = int(np.ceil(high / each))
    _histogram(right, there, (0.5, 0.5 + each * bars), "Gaussians per vertex", "vertices", bars=bars)
    return figure


def _frames(found: Findings, body: BodyMap) -> Figure:
    count = len(found.frames)
    palette = _frame_colors(count)
    title = "From which input frame each vertex takes its attention (intra layers, mean over heads and tokens)"
    figure = _page(len(found.intra), 3.0, title, found, "grey: no Gaussian")
    rows = figure.subplots(len(found.intra), 3, squeeze=False, width_ratios=(1.25, 1.25, 1))
    even = np.array(mean_shares(found.even_shares))
    for (where, much, bars), layer in zip(rows, found.intra, strict=True):
        shares = layer.shares.double().numpy()
        _paint_frames(where, body, shares, palette, found.frames)
        most = f"({led_by_most(found, layer.shares):.0%} of vertices: the one with most Gaussians)"
        where.set_title(f"block {layer.block}: the frame with the largest share\n{most}")
        # With one frame every share is 1, and a scale needs two ends.
        share = Normalize(1 / count if count > 1 else 0, 1)
        _paint(much, body, shares.max(1), share, colormaps["magma"], "largest share of a frame")
        idle = np.nanmedian(found.even_shares.amax(1).numpy())
        median = f"median {np.nanmedian(shares.max(1)):.2f} (without preference {idle:.2f})"
        much.set_title(f"block {layer.block}: how large that share is\n{median}")
        mean = np.array(mean_shares(layer.shares))
        bars.bar(range(count), 100 * mean, color=palette, edgecolor=["black"] + ["none"] * (count - 1), linewidth=1.5)
        bars.plot(range(count), 100 * even, "_", color="black", ms=18, mew=2, label="without preference")
        _label_frames(bars, found.frames)
        bars.set_ylim(0, 125 * max(mean.max(), even.max()))
        bars.set_ylabel("% of attention")
        bars.set_title(f"block {layer.block}: share of each frame,\nmean over vertices")
        bars.legend(loc="upper right", frameon=False)
    return figure


def _entropy(found: Findings, body: BodyMap) -> Figure:
    title = "How evenly each vertex attends to its Gaussians (intra layers): entropy / log(number of Gaussians)"
    figure = _page(len(found.intra), 4.1, title, found, "grey: fewer than two Gaussians, nothing to choose")
    rows = figure.subplots(len(found.intra), 2, squeeze=False, width_ratios=(2.2, 1))
    every = np.stack([layer.entropy.double().numpy() for layer in found.intra])
    low, high = _range(every, 1.0)
    label = "entropy (1: no preference, 0: one Gaussian only)"
    for (left, right), layer, values in zip(rows, found.intra, every, strict=True):
        _paint(left, body, values, Normalize(low, high), colormaps["viridis"], label, "min")
        left.set_title(f"block {layer.block}")
        _histogram(right, values, (low, high), "entropy", "vertices")
    return figure


def _reach(found: Findings, body: BodyMap) -> Figure:
    title = "How far each vertex looks along the mesh, and how evenly (inter layers, mean over heads and tokens)"
    figure = _page(len(found.inter), 3.8, title, found)
    rows = figure.subplots(len(found.inter), 2, squeeze=False)
    hops = np.stack([layer.hops.double().numpy() for layer in found.inter])
    entropy = np.stack([layer.entropy.double().numpy() for layer in found.inter])
    far, even = Normalize(*_range(hops)), Normalize(*_range(entropy, 1.0))
    idle = (np.nanmedian(found.even_inter.hops.numpy()), np.nanmedian(found.even_inter.centimetres.numpy()))
    for (left, right), layer, distance, evenness in zip(rows, found.inter, hops, entropy, strict=True):
        _paint(left, body, distance, far, colormaps["viridis"], "mean distance, mesh edges", "both")
        centimetres = np.nanmedian(layer.centimetres.numpy())
        text = f"block {layer.block}: median distance {np.nanmedian(distance):.2f} mesh edges, {centimetres:.1f} cm\n"
        left.set_title(text + f"(without preference {idle[0]:.2f} mesh edges, {idle[1]:.1f} cm)")
        _paint(right, body, evenness, even, colormaps["viridis"], "entropy (1: no preference)", "min")
        median = f"median {np.nanmedian(evenness):.3f}"
        right.set_title(f"block {layer.block}: entropy / log(number of neighbours),\n{median}")
    return figure


def _changes(found: Findings, body: BodyMap) -> Figure:
    title = f"What the read-out changed in the {len(found.binding):,} Gaussians {found.whose}"
    note = "maps: mean over the Gaussians that move with each vertex; grey: it has none"
    figure = _page(len(found.changes), 4.0, title, found, note)
    rows = figure.subplots(len(found.changes), 2, squeeze=False, width_ratios=(2.2, 1))
    for (left, right), change in zip(rows, found.changes, strict=True):
        values = change.values.double().numpy()
        high = float(np.percentile(np.abs(values), 98)) or 1.0
        low = -high if change.signed else 0.0
        colors, beyond = ("RdBu_r", "both") if change.signed else ("magma", "max")
        on_body = change.by_vertex(found.binding, len(found.vertices)).double().numpy()
        _paint(left, body, on_body, Normalize(low, high), colormaps[colors], change.unit, beyond)
        left.set_title(f"{change.name} ({change.unit})")
        _histogram(right, values, (low, high), f"{change.name} ({change.unit})", "Gaussians", change.signed)
    return figure


def _renders(found: Findings) -> Figure:
    what = "an unseen pose" if found.unseen else "an input pose"
    title = f"The avatar in {what}, frame {found.pose}, before and after the read-out"
    figure = _page(len(found.views), 4.2, title, found)
    rows = figure.subplots(len(found.views), 5, squeeze=False)
    change = [_distance(view.after, view.before) for view in found.views]
    gain = [_distance(view.before, view.truth) - _distance(view.after, view.truth) for view in found.views]
    far, better = Normalize(0, _top(change)), Normalize(-_top(gain), _top(gain))
    for axes, view, moved, gained in zip(rows, found.views, change, gain, strict=True):
        before, after = view.scores
        titles = (
            f"ground truth, {drawable(view.camera)}",
            f"before: direct binding\n{before:.2f} dB",
            f"after: ours\n{after:.2f} dB ({after - before:+.2f})",
        )
        for axis, image, name in zip(axes, (view.truth, view.before, view.after), titles, strict=False):
            axis.imshow(image.numpy().clip(0, 1))
            axis.set_title(name)
        for axis, values, norm, colors, name in (
            (axes[3], moved, far, "magma", "difference of\nbefore and after"),
            (axes[4], gained, better, "RdBu", "error before - error after\nblue: better, red: worse"),
        ):
            axis.imshow(values, norm=norm, cmap=colors)
            axis.set_title(name)
            ends = "max" if axis is axes[3] else "both"
            bar = figure.colorbar(ScalarMappable(norm, colors), ax=axis, shrink=0.75, extend=ends)
            bar.set_label("distance in RGB, channels 0 to 1")
        left, top, right, bottom = _person(view)
        for axis in axes:
            axis.set(xlim=(left, right), ylim=(bottom, top))
            axis.set_axis_off()
    return figure


def _person(view: View) -> tuple[float, float, float, float]:
    """The part of an image in which anything is shown, with a margin: left, top, right, bottom."""
    shown = np.minimum.reduce([image.numpy().min(-1) for image in (view.truth, view.before, view.after)]) < 0.98
    height, width = shown.shape
    if not shown.any():
        return -0.5, -0.5, width - 0.5, height - 0.5
    ys, xs = np.nonzero(shown)
    margin = 0.03 * max(height, width)
    left, top = max(xs.min() - margin, 0), max(ys.min() - margin, 0)
    return left - 0.5, top - 0.5, min(xs.max() + margin, width - 1) + 0.5, min(ys.max() + margin, height - 1) + 0.5


def _page(rows: int, row: float, title: str, found: Findings, note: str = "") -> Figure:
    """An empty page for rows of some inches."""
    figure = Figure(figsize=(_WIDTH, 0.8 + row * rows), layout="constrained")
    figure.suptitle(f"{title}\n{drawable(found.subject)}" + (f"; {note}" if note else ""), fontsize=15)
    return figure


def _paint(
    axis: Axes,
    body: BodyMap,
    values: np.ndarray,
    norm: Normalize,
    colors: Colormap,
    label: str,
    beyond: str = "neither",
) -> Colorbar:
    """Values on the body, with their colour bar; `beyond` says at which of its ends values lie further out."""
    _show_body(axis, body.paint(values, norm, colors))
    return axis.figure.colorbar(ScalarMappable(norm, colors), ax=axis, label=label, shrink=0.85, extend=beyond)


def _paint_frames(axis: Axes, body: BodyMap, shares: np.ndarray, palette: np.ndarray, frames: Sequence[int]) -> None:
    _show_body(axis, body.paint_classes(shares, palette))
    norm = BoundaryNorm(np.arange(len(frames) + 1) - 0.5, len(frames))
    bar = axis.figure.colorbar(ScalarMappable(norm, ListedColormap(palette)), ax=axis, label="frame", shrink=0.85)
    shown = _shown_frames(len(frames))
    bar.set_ticks(shown, labels=[f"{frames[i]}" + (" = t0" if i == 0 else "") for i in shown])
    bar.minorticks_off()


def _show_body(axis: Axes, image: np.ndarray) -> None:
    axis.imshow(image, interpolation="bilinear")
    axis.set_xticks([image.shape[1] * 0.25, image.shape[1] * 0.75], ["front", "back"])
    axis.tick_params(length=0)
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _histogram(
    axis: Axes,
    values: np.ndarray,
    ends: tuple[float, float],
    label: str,
    counted: str,
    signed: bool = False,
    bars: int = 40,
) -> None:
    """Values without NaN between two ends; median and 95th percentile, of its size if it has a sign, as the title."""
    there = values[np.isfinite(values)]
    axis.hist(there.clip(*ends), bars, range=ends, color="tab:blue")
    outside = ((there < ends[0]) | (there > ends[1])).any()
    axis.set_xlabel(f"{label}\n(end bars: and beyond)" if outside else label)
    axis.set_ylabel(counted)
    axis.locator_params(axis="x", nbins=6)
    if len(there):
        of = "95th percentile of size" if signed else "95th percentile"
        axis.set_title(f"median {np.median(there):.3g}, {of} {np.percentile(np.abs(there), 95):.3g}")


def _range(values: np.ndarray, high: float | None = None) -> tuple[float, float]:
    """From the 1st percentile to the 99th, or to `high`; one range for all blocks."""
    there = values[np.isfinite(values)]
    low, top = np.percentile(there, (1, 99)).tolist() if len(there) else (0.0, 1.0)
    top = top if high is None else high
    return (low, top) if top - low > 1e-6 else (top - 1.0, top)


def _top(images: Sequence[np.ndarray]) -> float:
    return float(np.percentile(np.abs(np.stack(images)), 99.5)) or 1.0


def _distance(one: Tensor, other: Tensor) -> np.ndarray:
    return (one - other).norm(dim=-1).numpy()


def _frame_colors(count: int) -> np.ndarray:
    """A colour per frame, [T, 3]: as unlike one another as can be up to nine, then along a rainbow; none is grey."""
    if count > len(_COLORS):
        return np.asarray(colormaps["turbo"](np.linspace(0.05, 0.95, count)))[:, :3]
    return np.asarray(colormaps["tab10"](_COLORS[:count]))[:, :3]


def _label_frames(axis: Axes, frames: Sequence[int]) -> None:
    shown = _shown_frames(len(frames))
    axis.set_xticks(shown, [f"{frames[i]}" + ("\nt0" if i == 0 else "") for i in shown])
    axis.set_xlabel("frame (t0: the one the avatar is made of)")


def _shown_frames(count: int) -> list[int]:
    return list(range(0, count, -(-count // 12)))
