"""Workers measure in processes of their own, under the allocator's setting that they are named after."""

import os
import time
from pathlib import Path

import pytest
import torch

from benchmarks.workers import SETTINGS, Worker, WorkerDied

LINUX = Path("/proc/self/status").exists()


def kept_mb() -> float:
    """How much of 200 MB stays with the process after it has been freed."""
    before = _resident_mb()
    held = [torch.ones(12_500_000) for _ in range(4)]
    del held
    return _resident_mb() - before


def _resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1e3


def allocator_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("MALLOC_", "GLIBC_"))}


def die() -> None:
    os._exit(3)


def fail() -> None:
    raise KeyError("lost")


@pytest.mark.skipif(not LINUX, reason="reads /proc")
@pytest.mark.parametrize("setting", list(SETTINGS))
def test_each_setting_is_in_force_and_no_other(setting, monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1000000000")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0")
    with Worker(setting, threads=1) as worker:
        assert worker.call(allocator_settings) == SETTINGS[setting]
        assert worker.call(torch.get_num_threads) == 1
        kept = worker.call(kept_mb)
        assert kept > 150 if setting == "tuned" else kept < 50
        with pytest.raises(RuntimeError, match="KeyError: 'lost'"):
            worker.call(fail)
        if setting == "default":  # what ends a process does not depend on it
            with pytest.raises(WorkerDied, match="code 3"):
                worker.call(die)
            assert worker.call(kept_mb) < 50  # a fresh one
        before = worker.call(os.getpid)
        worker.renew()
        assert worker.call(os.getpid) != before
        assert worker.call(allocator_settings) == SETTINGS[setting]
    assert os.environ["MALLOC_TOP_PAD_"] == "1000000000"


def test_a_call_ends_at_its_limit(monkeypatch):
    monkeypatch.setattr("benchmarks.workers._LOOK_S", 0.05)
    with Worker("default", threads=1) as worker:
        worker.call(os.getpid)
        begin = time.monotonic()
        with pytest.raises(WorkerDied, match="longer than 0 s"):
            worker.call_within(0.2, time.sleep, 60)
        assert time.monotonic() - begin < 10
