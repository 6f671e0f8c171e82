"""`python -m benchmarks.frames_cache`: every way gives back what was written, and the table says what it took."""

import csv

import pytest

from benchmarks import frames_cache
from benchmarks.frames_cache import READERS, FramesCacheBenchmark, drop_pages, main


@pytest.fixture
def config(tmp_path) -> FramesCacheBenchmark:
    return FramesCacheBenchmark(gaussians=50, features=7, small_gaussians=20, small_features=3, shards=2, repeats=2,
                                folder=tmp_path, out=tmp_path / "out" / "frames_cache.csv")  # fmt: skip


def test_the_table_of_a_whole_run(config, capsys):
    main(config)
    rows = list(csv.DictReader(config.out.read_text().splitlines()))
    states = {"warm", "cold"} if drop_pages(config.out.parent) else {"warm"}
    for gaussians, features in (("50", "7"), ("20", "3")):
        chosen = [row for row in rows if (row["gaussians"], row["features"]) == (gaussians, features)]
        assert {(row["name"], row["state"], row["threads"]) for row in chosen} == {
            (name, state, threads) for name in READERS for state in states for threads in "12"
        }
        for row in chosen:
            assert float(row["read_frames_per_s"]) > 0
            assert float(row["written_frames_per_s"]) > 0
            assert row["samples"] == "2"
        ours = next(float(row["bytes_per_frame"]) for row in chosen if row["name"] == "a frame of a shard")
        assert ours >= int(gaussians) * (12 + 2 * (11 + int(features)))
        assert float(chosen[0]["paper_tb"]) == pytest.approx(120_000 * ours / 1e12, rel=1e-3)
    assert [path.name for path in config.folder.iterdir()] == ["out"]  # what was written is removed
    assert "120,000 frames, as many as the paper has" in capsys.readouterr().out


def test_other_numbers_than_were_written_are_refused(config, monkeypatch):
    kind, read = READERS["a frame of a shard"]
    monkeypatch.setitem(frames_cache.READERS, "a frame of a shard", (kind, lambda folder, n: read(folder, n - 1)))
    with pytest.raises(RuntimeError, match="a frame of a shard: expected what was written"):
        main(config)


def test_quick_is_smaller():
    sized = FramesCacheBenchmark(quick=True).sized()
    assert (sized.gaussians, sized.small_gaussians, sized.repeats, sized.quick) == (8192, 2048, 3, False)
