"""`python -m benchmarks.loading`: every way of every kind of file is in the table, and ours means what numpy's did."""

import csv

import pytest

from benchmarks import loading
from benchmarks.loading import BASE, LoadingBenchmark, main


@pytest.fixture
def config(tmp_path) -> LoadingBenchmark:
    return LoadingBenchmark(frames=2, views=2, width=96, height=64, sizes=(24, 40), repeats=2, clips=20,
                            folder=tmp_path, out=tmp_path / "out" / "loading.csv")  # fmt: skip


@pytest.fixture(autouse=True)
def _short_samples(monkeypatch):
    monkeypatch.setattr("benchmarks.timing._SAMPLE_S", 1e-4)


def test_the_table_of_a_whole_run(config, capsys):
    main(config)
    rows = list(csv.DictReader(config.out.read_text().splitlines()))
    names = [BASE, "ours, full size"]
    for size in (24, 40):
        names += [f"{way}, {size}" for way in ("Pillow and its resize", "numpy area means")]
        names += [f"ours{way}, {size}" for way in ("", ", cropped", ", through a lens")]
    for kind in ("images", "masks, png", "masks, jpg"):
        chosen = [row for row in rows if row["kind"] == kind]
        assert {(row["name"], row["threads"]) for row in chosen} == {(name, t) for name in names for t in "12"}
        for row in chosen:
            assert float(row["images_per_s"]) == pytest.approx(1e3 / float(row["median_ms"]), rel=1e-3)
            base = next(r for r in chosen if (r["name"], r["threads"]) == (BASE, row["threads"]))
            ratio = float(base["median_ms"]) / float(row["median_ms"])
            assert float(row["times_pillow"]) == pytest.approx(ratio, rel=1e-3)
            assert float(row["file_kb"]) > 0
            assert row["samples"] == "2"
    assert [row["name"] for row in rows if row["kind"] == "memory"] == ["2 clips", "20 clips"]
    assert [path.name for path in config.folder.iterdir()] == ["out"]  # what was written is removed
    assert "times Pillow's decoding" in capsys.readouterr().out


def test_other_means_are_refused(config, monkeypatch):
    monkeypatch.setattr(loading, "_means", lambda values, count, axis: values.take(range(count), axis))
    with pytest.raises(RuntimeError, match="expected the same means over areas"):
        main(config)


def test_quick_is_smaller():
    sized = LoadingBenchmark(quick=True).sized()
    assert (sized.width, sized.height, sized.frames, sized.repeats, sized.clips) == (612, 256, 2, 3, 10)
    assert not sized.quick
