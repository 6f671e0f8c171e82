"""Files are whole or not there, disks that fill and folders that cannot be written are a line, leftovers go."""

import errno
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import save_file

from hgg_pyg.io.files import _HOST, try_folder, write_atomically
from hgg_pyg.io.tensors import save_tensors
from hgg_pyg.types import UserError
from tests import python

NOISE = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a" / "file.txt"
    write_atomically(path, lambda p: p.write_text("old"))

    def fail(p):
        p.write_text("half")
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    write_atomically(path, lambda p: p.write_text("new"))
    assert path.read_text() == "new"


def draw(path: Path) -> None:
    figure = Figure(figsize=(8, 8))
    figure.add_subplot().imshow(NOISE)
    figure.savefig(path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "text.txt": lambda path: path.write_text("x" * 50_000),
    "torch.pt": lambda path: torch.save({"a": torch.zeros(20_000)}, path),
    "tensors.safetensors": lambda path: save_file({"a": torch.zeros(20_000)}, path),
    "arrays.npz": lambda path: np.savez_compressed(path, a=NOISE),
    "image.png": Image.fromarray(NOISE).save,
    "figure.png": draw,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_says_of_a_full_disk_which_file_it_was(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a disk that takes no more of a file
    try:
        with pytest.raises(UserError, match=rf"{name}: expected a folder that can be written, and room in it, found: "):
            write_atomically(path, WRITERS[name])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_goes_and_what_others_write_stays(tmp_path):
    killed = "import os, signal, sys; from pathlib import Path; from hgg_pyg.io.files import write_atomically\n"
    killed += "write_atomically(Path(sys.argv[1]), lambda p: (p.write_text('half'), os.kill(os.getpid(), 9)))"
    done = python.run("-c", killed, tmp_path / "other.pt")
    gone = python.start("-c", "")
    gone.wait()
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".other.")
    old, away = f".a.elsewhere.{gone.pid}.partial.txt", f".b.elsewhere.{gone.pid}.partial.txt"
    stays = {away, f".c.{_HOST}.{os.getppid()}.partial.txt", f".d.{gone.pid}.txt", ".hidden", ".frame.12.partial.png"}
    for name in {old, f".checkpoint.{gone.pid}.pt", *stays}:
        (tmp_path / name).touch()
    os.utime(tmp_path / old, (time.time() - 25 * 3600,) * 2)
    write_atomically(tmp_path / "checkpoint.pt", lambda path: path.write_text("whole"))
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt"} | stays


def test_what_is_written_may_be_read_by_whom_the_system_says(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {})
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_is_tried_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "a" / "b", Path("a"), Path(), Path("..") / "c"):
        try_folder(folder, "--out")
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "c").exists()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").touch()
    for name in ("file", "file/c", "link", "a/" + "x" * 300, "\0"):
        with pytest.raises(UserError, match=r"^--out .*: expected a folder that can be written \(.+\)$"):
            try_folder(tmp_path / name, "--out")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"--cache .*: expected .* \(No space left on device\)"):
        try_folder(tmp_path / "a", "--cache")
