"""What the project asks of a data centre's GPU, judged by the tables that the parts wrote."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.bars import Bar

Row = Mapping[str, str]
Tables = Mapping[str, list[Row]]
_BACKWARD, _FORWARD = "forward_backward_median_ms_default", "forward_median_ms_default"
_FOLDED = "fold + fused"


def read_tables(out: Path, parts: Iterable[str]) -> dict[str, list[Row]]:
    """The rows of those parts that wrote any, by name."""
    tables: dict[str, list[Row]] = {}
    for part in parts:
        path = out / f"{part}.csv"
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                tables[part] = list(csv.DictReader(file))
    return tables


def judge(tables: Tables) -> list[Bar]:
    """Every goal with what was found; what was not measured, or has no peer beside it, is neither reached nor missed.

    A layer or a copy is the peer of what is in the same case of the same table, at the paper's size.
    """
    return [Bar(what, "default", asked, found, at_least) for what, asked, found, at_least in _goals(tables)]


def _goals(tables: Tables) -> Iterator[tuple[str, float, float | None, bool]]:
    layers = [row for row in tables.get("layers", []) if row["chief"] == "True" and row["kind"] == "intra"]
    both = "intra layer, forward + backward"
    for storage, name in (("float32", _FOLDED), ("bfloat16 features", f"{_FOLDED}, bf16")):
        times = _named(layers, _BACKWARD)
        for peer, asked in (("scatter", 12.0), ("anemoi", 1.5)):
            found = _ratio(times.get(peer), times.get(name))
            yield f"{both}, {storage}: {_FOLDED}, times faster than {peer}", asked, found, True
    folded = [row for row in tables.get("attention", []) if row["chief"] == "True" and row["form"] == "folded"]
    for storage in ("float32", "bfloat16"):
        rows = [row for row in folded if row["storage"] == storage]
        for column, words in (
            (_FORWARD, "forward: beside one copy"),
            (_BACKWARD, "forward + backward: beside two copies"),
        ):
            times = _named(rows, column)
            ours = min((times[name] for name in ("fused", "fused, CUDA graph") if name in times), default=None)
            found = _ratio(ours, times.get("copy"))
            yield f"folded attention, {storage}, launched or a CUDA graph, {words} of the features", 2.0, found, False
    parity = [row for row in tables.get("render", []) if row["table"] == "parity"]
    for column, asked, words in (
        ("error_p999", 2e-5, "99.9th percentile of the difference of images"),
        ("share_off_by_1e-4", 1e-4, "share of an image's numbers off by more than 1e-4"),
        ("gradient_error", 1e-3, "relative error of gradients"),
    ):
        yield f"gsplat beside our CPU kernels: {words}", asked, max(_numbers(parity, column), default=None), False
    posed = [row for row in tables.get("render", []) if row["table"] == "posing" and "draw" in row.get("name", "")]
    posed = [row for row in posed if row["name"] != "draw" and row["size"] == "512"]
    one = [row for row in posed if row["frames"] == "1"]
    for rows, words in ((one, "one by one"), (posed, "at any number at once")):
        found = max(_numbers(rows, "frames_per_second"), default=None)
        yield f"posed frames per second, 512², 65,536 Gaussians, {words}", 1000.0, found, True
    for backbone in ("surface", "lgm big"):
        rows = tables.get("avatar", [])
        rows = [row for row in rows if row["backbone"] == backbone and row["stage"] == "images to avatar"]
        found = next(iter(_numbers(rows, "median_ms")), None)
        yield f"images to avatar, {backbone}, ms", 100.0, found, False
    for preset, precision in (("recommended", "no"), ("paper", "bf16")):
        rows = tables.get("training_step", [])
        rows = [row for row in rows if row["preset"] == preset and row["precision"] == precision]
        found = next(iter(_numbers(rows, "median_ms")), None)
        yield f"training step, preset {preset}{', bf16' if precision == 'bf16' else ''}, 256², ms", 50.0, found, False


def _named(rows: Iterable[Row], column: str) -> dict[str, float]:
    return {row["name"]: float(row[column]) for row in rows if row.get(column)}


def _numbers(rows: Iterable[Row], column: str) -> list[float]:
    return [float(row[column]) for row in rows if row.get(column)]


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None
