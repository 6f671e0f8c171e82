"""What the soak does to files, and that it notices when a damaged one is accepted."""

from pathlib import Path

import numpy as np
import pytest

from hgg_pyg.types import UserError
from tests.soak import damage as damage_module
from tests.soak.damage import damage, damage_file
from tests.soak.starting import start_fresh
from tests.soak.world import World


def test_a_file_is_changed_in_one_way(tmp_path: Path) -> None:
    content, path = bytes(range(1, 256)) * 20, tmp_path / "file"
    seen = set()
    for seed in range(40):
        path.write_bytes(content)
        stamp = path.stat().st_mtime_ns
        how = damage_file(path, np.random.default_rng(seed))
        changed, expected = np.frombuffer(path.read_bytes(), np.uint8), np.frombuffer(content, np.uint8)
        if how == "cut":
            assert len(changed) < len(content)
            assert content.startswith(changed.tobytes())
        else:
            different = np.flatnonzero(changed != expected)
            bits = np.unpackbits(changed ^ expected).sum()
            assert (bits == 1) if how == "flip" else (0 < len(different) <= 512 and not changed[different].any())
        assert path.stat().st_mtime_ns == stamp
        seen.add(how)
    assert seen == {"flip", "cut", "zero"}


def refusing(world: World, place: Path, path: Path) -> object:
    raise UserError(f"{path}: damaged")


def breaking(world: World, place: Path, path: Path) -> object:
    raise ValueError("a traceback")


@pytest.mark.parametrize(
    ("read", "kept"),
    [
        (refusing, True),
        (lambda world, place, path: "the same", True),
        (lambda world, place, path: path.read_bytes(), False),
    ],
)
def test_a_soak_tells_refused_from_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read, kept: bool) -> None:
    world = World(tmp_path / "captures", tmp_path / "done", start_fresh, {}, {})
    (world.done / "train").mkdir(parents=True)
    (world.done / "train" / "weights").write_bytes(bytes(range(1, 100)))
    monkeypatch.setattr(damage_module, "_READERS", {"weights": ("train", "weights", read)})
    (tmp_path / "place").mkdir()
    outcome = damage(world, np.random.default_rng(0), tmp_path / "place")
    assert outcome.kept == kept


def test_what_escapes_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.soak.__main__ import _in_place

    world = World(tmp_path / "captures", tmp_path / "done", start_fresh, {}, {})
    (world.done / "train").mkdir(parents=True)
    (world.done / "train" / "weights").write_bytes(b"weights")
    monkeypatch.setattr(damage_module, "_READERS", {"weights": ("train", "weights", breaking)})
    outcome = _in_place(damage, world, np.random.default_rng(0), tmp_path / "place")
    assert (outcome.kept, outcome.said) == (False, "ValueError: a traceback")
    assert (tmp_path / "place").is_dir()  # to be looked into
