"""`python -m benchmarks.frames_cache`: frames per second that the cache of per-frame Gaussians writes and reads.

Frames are read in random order, one from each shard, as training meets them: from a disk whose cached pages have been
dropped (the host of a virtual machine may still hold them), and from memory.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from benchmarks.report import Progress
from benchmarks.timing import Spread, machine, write_table
from hgg_pyg.config import Channels, GaussianCount, Processes, Repeats, check_choices
from hgg_pyg.data.shards import FRAMES_PER_SHARD, halve, read_frame, write_shard
from hgg_pyg.io.files import try_folder, write_atomically
from hgg_pyg.runtime import run_command
from hgg_pyg.types import Gaussians

Write = Callable[[Path, dict[int, Gaussians]], None]  # into a folder, by number
Read = Callable[[Path, int], Gaussians]

PAPERS_FRAMES = 120_000
_FIELDS = [field.name for field in fields(Gaussians)]


@dataclass(frozen=True)
class FramesCacheBenchmark:
    """What to write and read."""

    gaussians: GaussianCount = 65_536
    """Gaussians per frame, as LGM big gives at its own size"""
    features: Channels = 149
    """features per Gaussian"""
    small_gaussians: GaussianCount = 16_384
    """Gaussians per frame of the second case"""
    small_features: Channels = 53
    """features per Gaussian of the second case"""
    shards: Repeats = 8
    """files, in all 2.8 GB of disk"""
    repeats: Repeats = 7
    """samples per rate, each of one frame from every shard"""
    threads: Processes = 2
    """threads that read side by side, compared with one alone"""
    folder: Path | None = None
    """folder on the disk to measure, whose files are removed again; by default the system's for temporary files"""
    quick: bool = False
    """an eighth of the Gaussians, three samples: a few seconds"""
    out: Path = Path("benchmarks/results/frames_cache.csv")
    """table to write"""

    def __post_init__(self) -> None:
        check_choices(self)

    def sized(self) -> FramesCacheBenchmark:
        """What is measured in the end, `quick` taken into account."""
        if not self.quick:
            return self
        gaussians, small = self.gaussians // 8, self.small_gaussians // 8
        return replace(self, quick=False, gaussians=gaussians, small_gaussians=small, repeats=min(3, self.repeats))


@dataclass(frozen=True)
class Found:
    """What was measured of one way to keep frames."""

    bytes_per_frame: float
    written: Spread  # milliseconds per frame
    read: dict[tuple[str, int], Spread]  # (cold or warm, threads) to milliseconds per frame


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number - number % FRAMES_PER_SHARD:08d}.safetensors"


def _write_shard(folder: Path, frames: dict[int, Gaussians]) -> None:
    write_shard(_shard(folder, min(frames)), frames)


def _write_files(folder: Path, frames: dict[int, Gaussians]) -> None:
    for number, gaussians in frames.items():
        tensors = {name: getattr(gaussians, name) for name in _FIELDS}
        write_atomically(folder / f"{number:08d}.pt", partial(torch.save, tensors))


def _read_frame(folder: Path, number: int) -> Gaussians:
    return read_frame(_shard(folder, number), number)


def _read_mapped(folder: Path, number: int) -> Gaussians:
    with safe_open(_shard(folder, number), "pt") as file:
        return Gaussians(**{f: file.get_tensor(f"{number:08d}.{f}").to(torch.float32, copy=True) for f in _FIELDS})


def _read_whole(folder: Path, number: int) -> Gaussians:
    tensors = {name: tensor.clone() for name, tensor in load_file(_shard(folder, number)).items()}  # it may be a map
    return Gaussians(**{f: tensors[f"{number:08d}.{f}"].float() for f in _FIELDS})


def _read_file(folder: Path, number: int) -> Gaussians:
    tensors = torch.load(folder / f"{number:08d}.pt", weights_only=True)
    return Gaussians(**{name: tensor.float() for name, tensor in tensors.items()})


WRITERS: dict[str, Write] = {"shards": _write_shard, "files": _write_files}
READERS: dict[str, tuple[str, Read]] = {
    "a frame of a shard": ("shards", _read_frame),
    "the same, file mapped": ("shards", _read_mapped),
    "the whole shard": ("shards", _read_whole),
    "torch.save, a file per frame": ("files", _read_file),
}
"""Name to what it reads, and how; the first is what the package does."""


def make_frame(gaussians: int, features: int, seed: int) -> Gaussians:
    """Random numbers as they are stored. [M]"""
    generator = torch.Generator().manual_seed(seed)
    widths = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "colors": (3,), "features": (features,)}
    tensors = {name: torch.randn(gaussians, *width, generator=generator) for name, width in widths.items()}
    return halve(Gaussians(**tensors), "frame")


def measure(config: FramesCacheBenchmark, gaussians: int, features: int, progress: Progress) -> dict[str, Found]:
    """Write frames, check what comes back, then time reading by turns; returns what was found by name."""
    title, weight = f"{gaussians:,} Gaussians, {features} features", float(gaussians * features)
    count = config.shards * FRAMES_PER_SHARD
    with tempfile.TemporaryDirectory(dir=config.folder) as root:
        folders = {kind: Path(root) / kind for kind in WRITERS}
        advance = progress.begin(f"writing {title}", weight)
        written: dict[str, list[float]] = {kind: [] for kind in WRITERS}
        for first in range(0, count, FRAMES_PER_SHARD):
            frames = {n: make_frame(gaussians, features, n) for n in range(first, first + FRAMES_PER_SHARD)}
            for kind, write in WRITERS.items():
                written[kind].append(_seconds(partial(write, folders[kind], frames)) / FRAMES_PER_SHARD)
            advance(1 / config.shards)
        _check(folders, count - 2, make_frame(gaussians, features, count - 2))
        read = _time_reading(config, folders, progress.begin(f"reading {title}", weight * config.repeats))
        sizes = {kind: sum(path.stat().st_size for path in folder.iterdir()) for kind, folder in folders.items()}
    return {
        name: Found(sizes[kind] / count, Spread.of([1e3 * s for s in written[kind]]), read[name])
        for name, (kind, _) in READERS.items()
    }


def _check(folders: dict[str, Path], number: int, expected: Gaussians) -> None:
    for name, (kind, read) in READERS.items():
        found = read(folders[kind], number)
        if not all(torch.equal(getattr(found, field), getattr(expected, field).float()) for field in _FIELDS):
            raise RuntimeError(f"{name}: expected what was written, found other numbers")


def _time_reading(
    config: FramesCacheBenchmark, folders: dict[str, Path], advance: Callable[[float], None]
) -> dict[str, dict[tuple[str, int], Spread]]:
    rng = random.Random(0)
    times = {name: defaultdict(list) for name in READERS}
    with ThreadPoolExecutor(config.threads) as pool:
        for _ in range(config.repeats):
            for threads in sorted({1, config.threads}):
                wanted = [s * FRAMES_PER_SHARD + rng.randrange(FRAMES_PER_SHARD) for s in range(config.shards)]
                rng.shuffle(wanted)
                for name, (kind, read) in READERS.items():
                    work = partial(_read_all, partial(read, folders[kind]), wanted, pool if threads > 1 else None)
                    if drop_pages(folders[kind]):
                        times[name]["cold", threads].append(1e3 * _seconds(work) / len(wanted))
                    work()
                    times[name]["warm", threads].append(1e3 * _seconds(work) / len(wanted))
            advance(1 / config.repeats)
    return {name: {key: Spread.of(samples) for key, samples in found.items()} for name, found in times.items()}


def _read_all(read: Callable[[int], Gaussians], numbers: Sequence[int], pool: ThreadPoolExecutor | None) -> None:
    for _ in map(read, numbers) if pool is None else pool.map(read, numbers):
        pass


def drop_pages(folder: Path) -> bool:
    """Have the kernel forget what it holds of a folder's files; False where it cannot be told."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main(config: FramesCacheBenchmark) -> None:
    """Write and read synthetic frames, and say what the paper's number of them takes."""
    config = config.sized()
    about = machine("cpu", config.threads)
    try_folder(config.out.parent, "--out")
    if config.folder is not None:
        try_folder(config.folder, "--folder")
        config.folder.mkdir(parents=True, exist_ok=True)
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    del about["threads"]  # a column of its own
    torch.set_num_threads(1)  # a thread that reads converts what it has read
    cases = [(config.gaussians, config.features), (config.small_gaussians, config.small_features)]
    with Progress(sum(m * c * (1 + config.repeats) for m, c in cases)) as progress:
        found = {case: measure(config, *case, progress) for case in cases}
    write_table(config.out, [{**row, **about} for case, ways in found.items() for row in _rows(*case, ways)])
    for case, ways in found.items():
        _print(*case, ways)
    print(config.out)


def _rows(gaussians: int, features: int, ways: dict[str, Found]) -> Iterator[dict[str, object]]:
    for name, found in ways.items():
        for (state, threads), spread in found.read.items():
            yield {
                "gaussians": gaussians,
                "features": features,
                "frames_per_shard": FRAMES_PER_SHARD,
                "name": name,
                "bytes_per_frame": found.bytes_per_frame,
                "paper_tb": PAPERS_FRAMES * found.bytes_per_frame / 1e12,
                "written_frames_per_s": 1e3 / found.written.median,
                "state": state,
                "threads": threads,
                "read_frames_per_s": 1e3 / spread.median,
                **{f"read_{part}_ms": getattr(spread, part) for part in ("least", "lower", "median", "upper")},
                "samples": spread.samples,
            }


def _print(gaussians: int, features: int, ways: dict[str, Found]) -> None:
    ours = next(iter(ways.values()))
    total, hours = (PAPERS_FRAMES * each for each in (ours.bytes_per_frame / 1e12, ours.written.median / 3.6e6))
    print(
        f"\n{gaussians:,} Gaussians of {features} features: {ours.bytes_per_frame / 1e6:.3g} MB per frame; "
        f"{PAPERS_FRAMES:,} frames, as many as the paper has: {total:.3g} TB, {hours:.1f} hours of writing"
    )
    print(f"{'frames per second':28}{'written':>12}" + "".join(f"{s + ', ' + str(t):>12}" for s, t in ours.read))
    for name, found in ways.items():
        rates = [found.written, *found.read.values()]
        print(f"{name:28}" + "".join(f"{1e3 / spread.median:12.1f}" for spread in rates))


if __name__ == "__main__":
    run_command(FramesCacheBenchmark, main)
