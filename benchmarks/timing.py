"""How the benchmarks measure: interleaved medians of wall time, memory beyond what was there, and the machine."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import importlib.metadata
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from hgg_pyg.io.files import write_atomically
from hgg_pyg.types import UserError

Work = Callable[[], object]

_SAMPLE_S = 0.02  # shorter work is repeated within one sample: a clock and a thread pool have their own noise
_MOST_RUNS = 200
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Spread:
    """Wall times of one piece of work over several samples, in milliseconds."""

    least: float
    lower: float  # first quartile
    median: float
    upper: float  # third quartile
    samples: int

    @classmethod
    def of(cls, times: Sequence[float]) -> Spread:
        """Quartiles of the samples' times, by linear interpolation."""
        alone = len(times) == 1
        lower, median, upper = [times[0]] * 3 if alone else statistics.quantiles(times, method="inclusive")
        return cls(min(times), lower, median, upper, len(times))


def median_ms(work: Work, repeats: int) -> float:
    """Median wall time in milliseconds, after one run that is not counted."""
    return interleaved({"": work}, repeats)[""].median


def interleaved(
    works: Mapping[str, Work], repeats: int, device: str = "cpu", patience_s: float = float("inf")
) -> dict[str, Spread]:
    """Time several pieces of work in turn, round after round, so that a machine that drifts is unfair to none of them.

    Args:
        works: what to time, by name.
        repeats: samples of each, after one that is not counted. A sample holds as many runs as take 20 ms.
        device: "cuda" times by CUDA events, on which a sample's runs follow one another without waiting.
        patience_s: work that has taken this long is not run again. If its first run did, that one counts.
    """
    took = {name: _first_runs(work, device) for name, work in works.items()}
    runs = {name: min(_MOST_RUNS, math.ceil(_SAMPLE_S / seconds)) for name, seconds in took.items()}
    times = {name: [1e3 * seconds] if seconds > patience_s else [] for name, seconds in took.items()}
    spent = {name: seconds if seconds > patience_s else 0.0 for name, seconds in took.items()}
    for _ in range(repeats):
        for name, work in works.items():
            if times[name] and spent[name] > patience_s:
                continue
            seconds = _seconds(work, runs[name], device)
            spent[name] += seconds
            times[name].append(1e3 * seconds / runs[name])
    return {name: Spread.of(found) for name, found in times.items()}


def extra_peak_mb(work: Work, device: str = "cpu") -> float | None:
    """The most memory that work holds beyond what was held before it, in MB (10^6 bytes), by one more run of it.

    On a CPU this is the growth of the process: the kernel's high-water mark, reset before the work, after free memory
    has been given back to it. None where the kernel has no such mark (anything but Linux). Collect garbage before.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    give_back_memory()
    try:
        _CLEAR.write_text("5")
    except OSError:
        return None
    before = _status_mb("VmRSS")
    work()
    return max(0.0, _status_mb("VmHWM") - before)


def give_back_memory() -> None:
    """Return memory that is free within this process to the system; glibc does it, elsewhere nothing happens."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def machine(device: str, threads: int) -> dict[str, str | int]:
    """What a measurement depends on besides the code: processor, device, threads, versions; and the date.

    Raises:
        UserError: the device is not usable here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: expected one that is usable here, found cuda without a CUDA device")
    names = ("torch", "torch_geometric", "torch_scatter", "anemoi_models", "numba", "triton")
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in names},
        "date": date.today().isoformat(),
    }


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of a table as CSV, all of it or nothing; floats are rounded to five significant digits.

    A column that a row lacks, or has as None, is left empty there.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            table = csv.DictWriter(file, columns)
            table.writeheader()
            table.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)

    write_atomically(path, write)


def _seconds(work: Work, runs: int, device: str) -> float:
    """Wall time of some runs, one after the other."""
    if device == "cuda":
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        for _ in range(runs):
            work()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3
    start = time.perf_counter()
    for _ in range(runs):
        work()
    return time.perf_counter() - start


def _first_runs(work: Work, device: str) -> float:
    """Wall time of a run that is not the first, which may have had to compile and to fetch data; or of a long first."""
    took = _seconds(work, 1, device)
    return max(took if took > 1 else _seconds(work, 1, device), 1e-9)


def _status_mb(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6


def _cpu_name() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
