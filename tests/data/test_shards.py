"""Shards are written whole, read a frame at a time, and never believed when they are damaged."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hgg_pyg.backbones import FromImages
from hgg_pyg.data import FrameSource, open_captures
from hgg_pyg.data.frames import ABOUT_FILE, all_shards, compute_missing
from hgg_pyg.data.shards import DamagedShard, halve, read_frame, write_shard
from hgg_pyg.types import Gaussians, UserError

NAMES = [f.name for f in fields(Gaussians)]


def some(count: int, features: int = 5, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"means": 3, "quats": 4, "scales": 3, "colors": 3, "features": features}
    tensors = {name: torch.randn(count, size, generator=generator) for name, size in sizes.items()}
    return Gaussians(opacities=torch.rand(count, generator=generator), **tensors)


def same(a: Gaussians, b: Gaussians) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in NAMES)


class Counting(FromImages):
    """A backbone that needs no images, whose Gaussians differ from frame to frame, in number as well."""

    views = None
    one_core = False
    feature_names = ("a", "b", "c", "d", "e")
    feature_dim = 5
    digest = "counting"

    def __init__(self) -> None:
        self.frames: list[int] = []

    def __call__(self, moment) -> Gaussians:
        self.frames.append(moment.frame)
        return some(20 + moment.frame, seed=moment.frame)


@pytest.fixture
def source(tiny_captures, body, tmp_path) -> FrameSource:
    """4 frames, 3 of them in the first shard."""
    capture = open_captures(tiny_captures).train[0]
    return FrameSource(capture, (0, 1, 2, 3), Counting(), body, tmp_path / "cache", per_shard=3)


@pytest.fixture
def shard(tmp_path) -> Path:
    path = tmp_path / "shard.safetensors"
    write_shard(path, {n: halve(some(30 + n, seed=n), "") for n in (4, 5, 7)})
    return path


def test_frames_come_back_but_for_half_precision(shard):
    for number in (4, 5, 7):
        expected, found = some(30 + number, seed=number), read_frame(shard, number)
        assert torch.equal(found.means, expected.means)
        for name in NAMES[1:]:
            assert getattr(found, name).dtype == torch.float32
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=2**-11, atol=1e-7)
    assert len(load_file(shard)) == 3 * len(NAMES)  # other programs can read it
    with pytest.raises(DamagedShard, match=r"expected 00000006.colors, .*, found no such tensor"):
        read_frame(shard, 6)
    with pytest.raises(FileNotFoundError):
        read_frame(shard.with_name("another"), 4)


def test_numbers_beyond_half_precision_are_cut_and_said(shard, caplog):
    gaussians = some(10)
    assert gaussians.features is not None
    gaussians.features[:3, 0] = torch.tensor([7e4, -1e9, float("inf")])
    gaussians.features[3, 0] = 65_504
    write_shard(shard, {0: halve(gaussians, "frame 0")})
    assert "frame 0: features: 3 numbers beyond half precision were cut to 65504" in caplog.text
    features = read_frame(shard, 0).features
    assert features is not None
    assert features[:4, 0].tolist() == [65_504, -65_504, 65_504, 65_504]
    gaussians.features[5, 0] = torch.nan  # which must not hide the others
    cut = halve(gaussians, "with nan").features
    assert cut is not None
    assert cut[:4, 0].tolist() == [65_504, -65_504, 65_504, 65_504]
    assert torch.nonzero(cut.isnan()).tolist() == [[5, 0]]
    assert "with nan: features: 3 numbers" in caplog.text
    assert len(halve(some(0), "none")) == 0
    with pytest.raises(ValueError, match="expected Gaussians with features, found none"):
        halve(replace(gaussians, features=None), "frame 0")


def test_one_frame_is_read_without_the_others(shard):
    """Every byte of the others may be wrong; where the kernel counts, no more is read than the frame and the header."""
    write_shard(shard, {n: halve(some(50_000, seed=n), "") for n in range(4)})
    intact = read_frame(shard, 2)
    content = bytearray(shard.read_bytes())
    length = int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8 : 8 + length]).items():
        begin, end = (8 + length + offset for offset in entry.get("data_offsets", (0, 0)))
        if not name.startswith(("00000002", "__metadata__")):
            content[begin:end] = os.urandom(end - begin)
    shard.write_bytes(content)
    counter = Path("/proc/self/io")
    before = counter.read_text() if counter.exists() else None
    assert same(read_frame(shard, 2), intact)
    if before is not None:
        read = [int(text.split()[1]) for text in (before, counter.read_text())]
        assert 0 <= read[1] - read[0] - len(content) / 4 < 8 + length + 1000


def test_no_bit_of_the_header_can_turn_without_being_seen(tmp_path):
    """Either it is found or nothing depends on it: no other numbers come out."""
    path = tmp_path / "shard.safetensors"
    write_shard(path, {n: halve(some(4, 2, seed=n), "") for n in (2, 3)})
    content, intact = path.read_bytes(), [read_frame(path, n) for n in (2, 3)]
    header, seen = 8 + int.from_bytes(content[:8], "little"), 0
    with path.open("r+b", buffering=0) as file:
        for position in range(header):
            for bit in range(8):
                file.seek(position)
                file.write(bytes([content[position] ^ 1 << bit]))
                for number, expected in zip((2, 3), intact, strict=True):
                    try:
                        found = read_frame(path, number)
                    except DamagedShard:
                        seen += 1
                    else:
                        assert same(found, expected), (position, bit)
            file.seek(position)
            file.write(content[position : position + 1])
    assert seen > 0.9 * 2 * 8 * header  # a frame does not mind what became of the other one's name


def test_frames_side_by_side_are_those_one_by_one(source):
    """In their order, however many threads; the number of torch's threads is as before."""
    threads = torch.get_num_threads()
    for one_core in (False, True):
        source.backbone.one_core = one_core
        together = source.predict_all([3, 0, 2])
        assert all(same(found, source.predict(frame)) for found, frame in zip(together, (3, 0, 2), strict=True))
        assert len(together) == 3
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 0.5, -1])
def test_a_shorter_file_is_no_shard(shard, keep):
    """Not even for a frame whose bytes are all there."""
    content = shard.read_bytes()
    shard.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    for number in (4, 7):
        with pytest.raises(DamagedShard, match="not a whole shard"):
            read_frame(shard, number)


def test_a_source_computes_a_shard_at_a_time(source):
    gaussians = source.load(1)
    assert source.backbone.frames == [0, 1, 2]
    assert torch.equal(gaussians.means, some(21, seed=1).means)
    assert source.path(0) == source.path(2) != source.path(3)
    assert [source.load(frame).means.shape[0] for frame in (3, 2, 0)] == [23, 22, 20]
    assert source.backbone.frames == [0, 1, 2, 3]
    assert {path.name for path in source.folder.iterdir()} == {source.path(0).name, source.path(3).name, ABOUT_FILE}
    about = json.loads((source.folder / ABOUT_FILE).read_text())
    expected = {"capture": "subject000", "frames": 4, "frames_per_shard": 3, "backbone": "Counting counting"}
    assert about.items() >= expected.items()
    assert about["views"] == list(source.capture.camera_names[:4])


def test_other_settings_have_another_folder(source, monkeypatch):
    source.load(0)
    others = [replace(source, per_shard=4), replace(source, cameras=(0, 1, 2, 4))]
    folders = {source.folder, *(other.folder for other in others)}
    monkeypatch.setattr("hgg_pyg.data.frames.FORMAT", "shards of tomorrow")
    folders.add(source.folder)
    assert len(folders) == 4
    source.load(0)
    others[0].load(0)
    assert source.backbone.frames == [0, 1, 2] * 2 + [0, 1, 2, 3]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:20] + b"x" + content[21:],
        lambda content: content.replace(some(20).means.numpy().tobytes(), some(20, seed=9).means.numpy().tobytes()),
    ],
    ids=["cut", "header", "means"],
)
def test_a_damaged_shard_is_computed_anew(source, caplog, damage):
    intact, content = source.load(0), source.path(0).read_bytes()
    source.path(0).write_bytes(damage(content))
    assert same(source.load(0), intact)
    assert "00000000.safetensors: " in caplog.text
    assert "; it is computed anew" in caplog.text
    assert source.backbone.frames == [0, 1, 2] * 2
    assert source.path(0).read_bytes() == content


def test_threads_that_meet_a_gap_compute_it_once(source):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(source.load, [0, 1, 2, 3] * 8))
    assert sorted(source.backbone.frames) == [0, 1, 2, 3]
    assert all(len(gaussians) == 20 + i % 4 for i, gaussians in enumerate(found))


def test_shares_are_disjoint_and_do_not_depend_on_what_is_there(source, tmp_path):
    sources = [replace(source, per_shard=1), replace(source, per_shard=2), replace(source, per_shard=1)]  # 4 + 2 shards
    paths = [shard.path for shard in all_shards(sources)]
    assert len(paths) == 6
    assert compute_missing(sources, (1, 3)) == 3
    assert [path.is_file() for path in paths] == [False, True, False, False, True, False]
    assert compute_missing(sources, (1, 3)) == 0
    assert compute_missing(sources, (0, 3)) == 2
    assert compute_missing(sources, (2, 3)) == 3
    assert all(path.is_file() for path in paths)
    alone = [replace(each, cache=tmp_path / "alone") for each in sources]
    assert compute_missing(alone) == 8
    for path, other in zip(paths, all_shards(alone), strict=True):
        assert path.read_bytes() == other.path.read_bytes()


def test_what_was_finished_before_a_mistake_stays(source):
    class Broken(Counting):
        def __call__(self, moment) -> Gaussians:
            if moment.frame == 3:
                raise UserError("a broken file")
            return super().__call__(moment)

    source = replace(source, backbone=Broken())
    with pytest.raises(UserError, match="a broken file"):
        compute_missing([source])
    assert source.path(0).is_file()
    assert not source.path(3).exists()


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(source, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hgg_pyg.data.shards.save_file", full)
    with pytest.raises(UserError, match=r"00000000.safetensors: expected .* room in it, found: .*No space left"):
        compute_missing([source])
    assert list(source.folder.iterdir()) == []


def test_leftovers_of_killed_runs_are_never_read_and_go(source):
    source.folder.mkdir(parents=True)
    left = source.folder / f".00000000.{2**22 + 1}.safetensors"  # no process has such a number
    left.write_bytes(b"half a shard")
    assert compute_missing([source]) == 4
    assert not left.exists()
