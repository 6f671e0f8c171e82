"""What a residual fitted to one subject gains over direct binding."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks import headroom
from benchmarks.headroom import PARTS, HeadroomBenchmark


def test_a_table_of_all_parts(tiny_captures: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    headroom.main(
        HeadroomBenchmark(data=tiny_captures, frames=2, subjects=1, steps=12, views=4, out=tmp_path / "headroom.csv")
    )
    with (tmp_path / "headroom.csv").open() as file:
        rows = {row["part"]: row for row in csv.DictReader(file)}
    assert list(rows) == [part.name for part in PARTS]
    gains = {name: float(row["view_fitted"]) - float(row["view_direct"]) for name, row in rows.items()}
    assert gains["all"] > 0.2
    assert len({row["view_direct"] for row in rows.values()}) == 1
    unmoved = {name for name, row in rows.items() if float(row["shift_mm"]) == 0}
    assert unmoved == {
        "rotation",
        "size",
        "opacity",
        "colour",
    }
    assert "shift, one per vertex" in capsys.readouterr().out
