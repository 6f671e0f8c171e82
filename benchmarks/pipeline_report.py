"""What the benchmark of the pipeline shows: the table, what was asked of it, and the plot's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.bars import Bar
from benchmarks.pipeline_stages import WHOLE_AVATAR
from benchmarks.timing import Spread

AVATAR, TRAINING = "images to avatar", "training"
WHOLE_CLIP = "a training step, all at once"
SETTING = "tuned"  # the allocator's, which commands apply on start
_ASKED_S = {128: 0.4, 256: 1.5, 512: 5.0}
_ASKED_CLIPS = 4.0


@dataclass(frozen=True)
class Row:
    """One stage at one size, or all of them at once."""

    part: str
    stage: str
    size: int
    gaussians: int
    forward: Spread
    backward: Spread | None
    megabytes: float
    gflops: float
    floor_ms: float
    backward_floor_ms: float | None

    @property
    def title(self) -> str:
        """Of its part of the table."""
        return f"{self.part}, {self.size} pixels, {self.gaussians:,} Gaussians per frame"

    def columns(self) -> dict[str, object]:
        """Its columns in the table."""
        found = {name: value for name, value in asdict(self).items() if not isinstance(value, dict)}
        for name in ("forward", "backward"):
            spread: Spread | None = getattr(self, name)
            numbers = asdict(spread) if spread else dict.fromkeys(Spread.__dataclass_fields__)
            found |= {f"{name}_{k if k == 'samples' else k + '_ms'}": v for k, v in numbers.items()}
        return {**found, "times_floor": self.forward.median / self.floor_ms if self.floor_ms else None}


def judge(rows: Sequence[Row]) -> list[Bar]:
    """What was asked of the whole, and what was found."""
    bars = []
    for row in rows:
        if row.stage == WHOLE_AVATAR and row.size in _ASKED_S:
            what = f"images to avatar at {row.size} pixels, seconds"
            bars.append(Bar(what, SETTING, _ASKED_S[row.size], row.forward.median / 1e3, at_least=False))
        if row.stage == WHOLE_CLIP:
            bars.append(Bar("training, clips per second", SETTING, _ASKED_CLIPS, 1e3 / row.forward.median, True))
    return bars


def describe(rows: Sequence[Row]) -> str:
    """The rows as a table of text."""
    lines = [f"{'':34}{'ms':>9}{'floor':>9}{'backward':>10}{'floor':>9}{'MB':>9}{'GFLOP':>8}"]
    title = ""
    for row in rows:
        if title != row.title:
            title = row.title
            lines.append(title)
        back = f"{row.backward.median:10.1f}{row.backward_floor_ms:9.2f}" if row.backward else " " * 19
        cells = f"{row.forward.median:9.1f}{row.floor_ms:9.2f}{back}{row.megabytes:9.1f}{row.gflops:8.2f}"
        lines.append(f"  {row.stage:32}{cells}")
    return "\n".join(lines)


def ranking(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Title to stage to what it takes and its floor, as `draw_ranking` takes them."""
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        table = tables.setdefault(row.title, {})
        table[row.stage] = {"measured": row.forward.median, "floor": row.floor_ms}
        if row.backward and row.backward_floor_ms is not None:
            table[f"{row.stage}, backward"] = {"measured": row.backward.median, "floor": row.backward_floor_ms}
    return tables
