"""What was found, in numbers: a table for a screen and `summary.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from hgg_pyg.evaluation.inspection.findings import Findings, InterFindings
from hgg_pyg.io.files import write_text

CONVENTION = (
    "median, mean and 95th percentile over vertices, or over the Gaussians of frame t0 for the read-out; of quantities "
    "with a sign the 95th percentile is that of the size. Attention is averaged over heads and tokens. Entropy is "
    "divided by the logarithm of the number of sources: 1 for no preference, 0 for a single source"
)
READ_OUT = "read-out"


@dataclass(frozen=True)
class Row:
    """One quantity over all vertices or Gaussians that have it."""

    part: str
    block: int | None  # from 1; None where there are no blocks
    name: str
    unit: str
    count: int
    mean: float | None  # None where the count is 0
    median: float | None
    p95: float | None

    @staticmethod
    def of(part: str, block: int | None, name: str, unit: str, values: Tensor) -> Row:
        """Sum up values [n], NaN left out."""
        there = values[~values.isnan()].double()
        if not len(there):
            return Row(part, block, name, unit, 0, None, None, None)
        p95 = there.abs().quantile(0.95).item()
        return Row(part, block, name, unit, len(there), there.mean().item(), there.quantile(0.5).item(), p95)


def rows_of(found: Findings) -> tuple[Row, ...]:
    """Every quantity, in the order of the images."""
    return tuple(_rows(found))


def _rows(found: Findings) -> Iterator[Row]:
    yield Row.of("binding", None, "Gaussians per vertex, of those with any", "", found.bound[found.bound > 0].double())
    if found.intra:
        leading = found.even_shares.amax(1)
        yield Row.of("intra", None, "share of the leading frame, without preference", "", leading)
    for layer in found.intra:
        yield Row.of("intra", layer.block, "share of the leading frame", "", layer.shares.amax(1))
        yield Row.of("intra", layer.block, "entropy", "", layer.entropy)
    if found.inter:
        yield from _reach(None, found.even_inter, ", without preference")
    for layer in found.inter:
        yield from _reach(layer.block, layer, "")
        yield Row.of("inter", layer.block, "entropy", "", layer.entropy)
    for change in found.changes:
        yield Row.of(READ_OUT, None, change.name, change.unit, change.values)


def _reach(block: int | None, layer: InterFindings, remark: str) -> Iterator[Row]:
    yield Row.of("inter", block, f"distance{remark}", "mesh edges", layer.hops)
    yield Row.of("inter", block, f"distance{remark}", "cm", layer.centimetres)


def mean_shares(shares: Tensor) -> list[float]:
    """Shares of frames [N, T], averaged over the vertices that have Gaussians. T values"""
    return shares.nanmean(0).tolist()


def led_by_most(found: Findings, shares: Tensor) -> float:
    """The part of the vertices whose leading frame is the one with the most Gaussians, or one of those."""
    there = found.bound > 0
    even, shares = found.even_shares[there], shares[there]
    most = even.gather(1, shares.argmax(1, keepdim=True))[:, 0] >= even.amax(1) - 1e-6
    return most.float().mean().item()


def table(found: Findings) -> str:
    """The summary for a screen."""
    count = len(found.frames)
    without = int((found.bound == 0).sum())
    frames = f"{count} input frame{'s' if count > 1 else ''} (t0 is frame {found.frames[0]})"
    lines = [
        f"{found.subject}: {frames}, {len(found.binding):,} Gaussians {found.whose}",
        f"{without:,} of {len(found.bound):,} vertices ({without / len(found.bound):.1%}) have no Gaussians",
        f"\n{'':66}{'median':>10}{'95th pct.':>11}",
    ]
    for row in rows_of(found):
        name = f"{row.part} block {row.block}" if row.block else row.part
        unit = f" ({row.unit})" if row.unit else ""
        lines.append(f"{name:16}{row.name + unit:50}{_figure(row.median):>10}{_figure(row.p95):>11}")
    if found.intra:
        lines.append("\nattention by frame, mean over vertices, %")
        numbers = "".join(f"{frame:>7}" for frame in found.frames)
        lines.append(f"{'frame':24}{numbers}   vertices led by the frame with most Gaussians")
        lines.append(f"{'without preference':24}" + _percent(mean_shares(found.even_shares)))
        for layer in found.intra:
            shares = _percent(mean_shares(layer.shares))
            lines.append(f"{f'intra block {layer.block}':24}{shares}   {led_by_most(found, layer.shares):.0%}")
    lines.append("")
    for view in found.views:
        before, after = view.scores
        where = f"frame {found.pose}, {view.camera}"
        lines.append(f"{where}: PSNR {before:.2f} dB before the read-out, {after:.2f} dB after ({after - before:+.2f})")
    return "\n".join([*lines, *(f"left out: {reason}" for reason in found.left_out)])


def save_summary(path: Path, found: Findings) -> None:
    """Write all numbers, and how they were computed, as JSON."""
    views = [(view.camera, *view.scores) for view in found.views]
    content = {
        "subject": found.subject,
        "frames": found.frames,
        "t0": found.frames[0],
        "vertices": len(found.bound),
        "vertices_without_gaussians": int((found.bound == 0).sum()),
        "gaussians_of_t0" if found.of_t0 else "gaussians": len(found.binding),
        "convention": CONVENTION,
        "quantities": [asdict(row) for row in rows_of(found)],
        "frame_shares": {
            "without_preference": mean_shares(found.even_shares),
            "intra": [
                {
                    "block": layer.block,
                    "shares": mean_shares(layer.shares),
                    "led_by_the_frame_with_most_gaussians": led_by_most(found, layer.shares),
                }
                for layer in found.intra
            ],
        },
        "renders": {
            "frame": found.pose,
            "unseen_pose": found.unseen,
            "views": [{"camera": name, "psnr_before": before, "psnr_after": after} for name, before, after in views],
        },
        "left_out": found.left_out,
    }
    text = json.dumps(content, indent=2, allow_nan=False)
    write_text(path, text)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"


def _percent(shares: list[float]) -> str:
    return "".join(f"{100 * share:7.1f}" for share in shares)
