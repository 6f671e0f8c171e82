"""Compiled kernels are kept on disk; where that fails or what is kept is damaged, they are compiled anew."""

import hashlib
import importlib.util
import logging
import os
import pickle
import pwd
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from hgg_pyg.kernels import kernel_cache

SOURCE = "from hgg_pyg.kernels.numba_tools import kernel\n\n\n@kernel\ndef add(a, b):\n    return a + {0}b\n"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A kernel as a new process has it: its module is imported anew."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(kernel_cache, "_said", False)
    path = tmp_path / "adding.py"

    def make(factor: str = "") -> Any:
        path.write_text(SOURCE.format(factor))
        spec = importlib.util.spec_from_file_location("adding", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "adding", module)
        spec.loader.exec_module(module)
        return module.add

    return make


def loaded(add: Any) -> int:
    """How often the kernel came from the cache, once it has computed."""
    assert add(2, 3) == 5
    return sum(add.stats.cache_hits.values())


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


def test_a_kernel_is_compiled_once(make: Callable[..., Any], tmp_path: Path) -> None:
    assert [loaded(make()) for _ in range(3)] == [0, 1, 1]
    assert len(files(tmp_path)) == 1


def test_what_killed_processes_left_is_swept(make: Callable[..., Any], tmp_path: Path) -> None:
    loaded(make())
    (path,) = files(tmp_path)
    name = path.name.removesuffix(".kernel").rpartition(".")[0]
    path.unlink()
    old, new = path.with_name(f"{name}old.tmp"), path.with_name(f"{name}new.tmp")
    for left in (old, new):
        left.touch()
    os.utime(old, (0, 0))
    loaded(make())
    assert sorted(files(tmp_path)) == sorted([path, new])  # somebody may still be writing the new one


def test_types_and_sources_are_told_apart(make: Callable[..., Any], tmp_path: Path) -> None:
    x = np.ones(2, np.float32)
    for hits in (0, 2):
        add = make()
        assert loaded(add) == hits // 2
        np.testing.assert_array_equal(add(x, x), [2, 2])
        assert sum(add.stats.cache_hits.values()) == hits
    assert len(files(tmp_path)) == 2
    other = make("2 * ")
    assert other(2, 3) == 8
    assert len(files(tmp_path)) == 2  # the old one is replaced


class Renamed:
    """What a pickle names that a later version has no more."""


def naming_what_is_gone(content: bytes) -> bytes:
    body = pickle.dumps(Renamed()).replace(b"Renamed", b"Removed")
    return hashlib.sha256(body).digest() + body


def flip(place: int) -> Callable[[bytes], bytes]:
    def flipped(content: bytes) -> bytes:
        at = place % len(content)
        return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]

    return flipped


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        naming_what_is_gone,
        *map(flip, (0, 40, 300, 4000, -4000, -1)),
    ],
)
def test_a_damaged_file_is_compiled_anew(
    damage: Callable[[bytes], bytes], make: Callable[..., Any], tmp_path: Path
) -> None:
    assert loaded(make()) == 0
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert [loaded(make()) for _ in range(2)] == [0, 1]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_once(make: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hgg_pyg"), full_disk():
        assert [loaded(make()) for _ in range(2)] == [0, 0]
    (message,) = caplog.messages
    assert "File too large" in message
    assert "set NUMBA_CACHE_DIR" in message
    assert not files(tmp_path)
    assert [loaded(make()) for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("home", ["/proc/nowhere", None])
def test_nowhere_to_write_is_said_once(
    home: str | None,
    make: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr("numba.core.caching.InTreeCacheLocator.from_function", lambda *_: None)  # root may write there
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home) if home else monkeypatch.delenv("HOME")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    add = make()
    assert not caplog.messages  # importing says nothing
    with caplog.at_level(logging.WARNING, "hgg_pyg"):
        assert [loaded(add), loaded(make())] == [0, 0]
    (message,) = caplog.messages
    assert "set NUMBA_CACHE_DIR" in message
    assert not os.listdir()  # no folder called "~"


def test_every_kernel_is_made_in_one_way() -> None:
    root = Path(kernel_cache.__file__).parents[2]
    users = [path for part in ("hgg_pyg", "graphs", "benchmarks") for path in (root / part).rglob("*.py")]
    assert [path.name for path in users if "njit" in path.read_text("utf-8")] == ["numba_tools.py"]
