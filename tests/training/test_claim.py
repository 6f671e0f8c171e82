"""A run's folder belongs to one command at a time."""

import errno
import fcntl
import os
import signal
import time
from pathlib import Path

import pytest
from accelerate import Accelerator

from hgg_pyg.training.claim import LOCK_FILE, begin_run, claimed
from hgg_pyg.training.run import RunConfig, create_run, find_checkpoint
from hgg_pyg.types import UserError
from tests import python


def test_a_second_command_is_refused_and_nothing_is_left(tmp_path):
    folder = tmp_path / "runs" / "demo"
    with claimed(folder):
        found = rf"runs/demo: expected a run that no command works on, found process {os.getpid()} on .* at it: wait"
        with pytest.raises(UserError, match=found), claimed(folder):
            pass
        assert (folder / LOCK_FILE).exists()
    assert not (tmp_path / "runs").exists()
    with claimed(folder):
        (folder / "file").touch()
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_goes_on_is_not_begun_again(tmp_path, resume):
    config = RunConfig(out=tmp_path, resume=resume)
    accelerator = Accelerator(cpu=True)
    with claimed(config.folder):
        create_run(config)
        with pytest.raises(UserError, match="no command works on"), begin_run(config, accelerator):
            pass
    if resume:
        with begin_run(config, accelerator) as checkpoint:
            assert checkpoint is None
    else:
        with pytest.raises(UserError, match="already holds a run"), begin_run(config, accelerator):
            pass


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("kept", ["checkpoint.pt", "model"])
def test_what_was_trained_is_not_overwritten_where_its_configuration_is_lost(tmp_path, kept, resume):
    config = RunConfig(out=tmp_path, resume=resume)
    (config.folder / kept).mkdir(parents=True)
    with pytest.raises(UserError, match=rf"config\.json: expected the configuration that {kept} was made under"):
        find_checkpoint(config)


HOLD = """
import fcntl, signal, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
signal.pause()
"""


def test_what_a_killed_process_held_is_free(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    other = python.start("-c", HOLD, folder / LOCK_FILE)
    while not other.stdout:
        assert other.poll() is None, other.stderr
        time.sleep(0.01)
    with pytest.raises(UserError, match="found one at it"), claimed(folder):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (folder / LOCK_FILE).exists()
    with claimed(folder):
        pass
    assert not (folder / LOCK_FILE).exists()


def test_a_lock_that_was_removed_while_it_was_waited_for_is_none(tmp_path, monkeypatch):
    """Who holds it removes it: one that has opened the file before must not take it for the folder's."""
    original, removed = fcntl.flock, []

    def flock(file, how):
        if not removed:
            removed.append(1)
            (tmp_path / LOCK_FILE).unlink()
        original(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claimed(tmp_path), pytest.raises(UserError, match="no command works on"), claimed(tmp_path):
        pass


def test_a_file_system_without_locks_is_worked_on_with_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claimed(tmp_path):
        pass
    assert "No locks available: nothing keeps a second command of this name away" in caplog.text


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(UserError, match=r"--out .*No space left on device"), claimed(tmp_path / "runs" / "demo"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named():
    said = r"--out /dev/null: expected a folder that can be written \(Not a directory\)"
    with pytest.raises(UserError, match=said), claimed(Path("/dev/null/demo")):
        pass
