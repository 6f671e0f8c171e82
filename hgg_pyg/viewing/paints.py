"""What the body can be painted with: numbers of its vertices that the graph and the network have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphs import BINDS, GAUSSIAN, VERTEX
from hgg_pyg.evaluation.inspection import Attention, Change, frame_shares
from hgg_pyg.viewing.palette import NOTHING, by_value, distinct_colors
from hgg_pyg.viewing.subject import ViewedSubject

NONE = "nothing"
_CHANGED = "read-out: "


@dataclass(frozen=True)
class Painted:
    """A colour for each vertex, and what colours mean."""

    colors: np.ndarray  # [N, 3] in [0, 1]; grey: no value
    legend: dict[str, str]
    swatches: np.ndarray | None = None  # [K, 3] a colour for each line of the legend


Paint = Callable[[ViewedSubject, int], Painted]
"""From a subject and a frame, by position in the capture."""


def paints_of(subject: ViewedSubject) -> dict[str, Paint]:
    """By name, all that can be seen of this subject; nothing is computed yet."""
    return {NONE: lambda *_: Painted(np.zeros((0, 3)), {}), **dict(_paints(subject))}


def _paints(subject: ViewedSubject) -> Iterator[tuple[str, Paint]]:
    if BINDS[1] in subject.spec.relations:
        yield "Gaussians that bind, all frames", _bound
        yield "frame with most Gaussians", lambda s, _: _leading(s, _shares(s, _bindings(s).even()))
    if subject.network is None:
        return
    if BINDS in subject.network.config.edge_types:
        for block in range(len(subject.network.blocks)):
            yield f"attention: leading frame, block {block + 1}", _LeadingFrame(block)
            yield f"attention: share of this frame, block {block + 1}", _ShareOfFrame(block)
    for index, name in enumerate(("moved", "recoloured", "resized", "opacity", "rotation")):
        yield f"{_CHANGED}{name}", _Changed(index)


@dataclass(frozen=True)
class _LeadingFrame:
    block: int  # from 0

    def __call__(self, subject: ViewedSubject, frame: int) -> Painted:
        layers = subject.attention.intra
        if not layers:
            return _nothing(subject)
        return _leading(subject, _shares(subject, layers[self.block]))


@dataclass(frozen=True)
class _ShareOfFrame:
    block: int  # from 0

    def __call__(self, subject: ViewedSubject, frame: int) -> Painted:
        layers = subject.attention.intra
        if not layers:
            return _nothing(subject)
        if frame not in subject.frames:
            return Painted(_grey(subject), {"attention": "this frame is not one of the graph's"})
        shares = _shares(subject, layers[self.block])[:, subject.frames.index(frame)]
        return Painted(by_value(shares, 0.0, 1.0, "magma"), {"attention to this frame": "0 (black) to 1 (light)"})


@dataclass(frozen=True)
class _Changed:
    index: int  # of `subject.changes`

    def __call__(self, subject: ViewedSubject, frame: int) -> Painted:
        change = subject.changes[self.index]
        low, high = _range(change)
        values = change.by_vertex(subject.direct.binding, subject.body.num_vertices).double().numpy()
        return Painted(by_value(values, low, high, _map(change)), _legend(change, low, high))


def gaussian_colors(subject: ViewedSubject, paint: str) -> Tensor | None:
    """The avatar's Gaussians in the colours of a paint that says how the read-out changed them. [M, 3]"""
    if not paint.startswith(_CHANGED):
        return None
    change = next(change for change in subject.changes if change.name == paint.removeprefix(_CHANGED))
    return torch.from_numpy(by_value(change.values.double().numpy(), *_range(change), _map(change))).float()


def _bound(subject: ViewedSubject, _: int) -> Painted:
    degree = _bindings(subject).degree.double().numpy()
    high = max(float(np.percentile(degree, 98)), 1.0)
    legend = {"Gaussians that bind": f"1 (dark) to {high:.0f} and more (light); grey: none"}
    return Painted(by_value(np.where(degree > 0, degree, np.nan), 0.0, high, "viridis"), legend)


def _leading(subject: ViewedSubject, shares: np.ndarray) -> Painted:
    """Each vertex in the colour of the frame with its largest share. [N, T]"""
    palette = distinct_colors(len(subject.frames))
    there = np.isfinite(shares[:, :1])  # all frames of a vertex or none
    colors = np.where(there, palette[np.nan_to_num(shares).argmax(1)], _grey(subject))
    numbers = [subject.capture.frames[frame] for frame in subject.frames]
    means = np.nanmean(shares, 0) if there.any() else np.zeros(len(numbers))
    legend = {f"frame {number}": f"{100 * mean:.1f}% in the mean" for number, mean in zip(numbers, means, strict=True)}
    return Painted(colors, legend, palette)


def _shares(subject: ViewedSubject, layer: Attention) -> np.ndarray:
    """[N, T] how much goes to the Gaussians of each frame, NaN for a vertex without any."""
    return frame_shares(layer, subject.graph[GAUSSIAN].frame, len(subject.frames)).double().numpy()


def _bindings(subject: ViewedSubject) -> Attention:
    """The edges from Gaussians to vertices, all of weight one."""
    source, target = subject.graph[BINDS].edge_index
    count = subject.graph[VERTEX].num_nodes or 0
    return Attention(0, source, target, torch.ones(len(source), 1, 1), count)


def _range(change: Change) -> tuple[float, float]:
    high = float(change.values.abs().double().quantile(0.98)) or 1.0
    return (-high if change.signed else 0.0), high


def _map(change: Change) -> str:
    return "RdBu_r" if change.signed else "magma"


def _legend(change: Change, low: float, high: float) -> dict[str, str]:
    ends = f"{low:.3g} (blue) to {high:.3g} (red)" if change.signed else f"0 (black) to {high:.3g} (light)"
    return {f"{change.name}, {change.unit}": f"{ends}; grey: no Gaussians"}


def _grey(subject: ViewedSubject) -> np.ndarray:
    return np.full((subject.body.num_vertices, 3), NOTHING)


def _nothing(subject: ViewedSubject) -> Painted:
    why = subject.attention.missing.get(BINDS, "this network has none")
    return Painted(_grey(subject), {"attention": why})
