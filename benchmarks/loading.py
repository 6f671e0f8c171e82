"""`python -m benchmarks.loading`: images per second read from files, beside plain Pillow, and the memory it takes.

Synthetic photographs of MVHumanNet's smaller size: textures of all scales and a sensor's noise as JPEGs, masks as PNGs
and JPEGs. All files are in the kernel's memory: what is measured is decoding and what follows it.
"""

from __future__ import annotations

import gc
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image

from benchmarks.report import Progress
from benchmarks.timing import Spread, extra_peak_mb, interleaved, machine, write_table
from hgg_pyg.config import Bounds, FrameCount, Pixels, Processes, Repeats, ViewCount, check_choices
from hgg_pyg.data.images import Window, fitted_size, read_pixels
from hgg_pyg.data.lens import Lens
from hgg_pyg.io.files import try_folder
from hgg_pyg.runtime import run_command

Read = Callable[[Path], np.ndarray]
Paths = Sequence[Sequence[Path]]  # frames x views

BASE = "Pillow"
"""What the others are compared with: decoding the file, and nothing else."""

_KINDS = {"images": "jpg", "masks, png": "png", "masks, jpg": "jpg"}
_ZJU_LIKE = (-0.15, 0.05, 1e-3, -1e-3, -0.02)


@dataclass(frozen=True)
class LoadingBenchmark:
    """What to write and read."""

    frames: FrameCount = 8
    """frames, one per sample"""
    views: ViewCount = 8
    """files per frame"""
    width: Pixels = 1224
    """width of the files, in pixels"""
    height: Pixels = 1024
    """height of the files, in pixels"""
    quality: Annotated[int, Bounds(0, 100)] = 90
    """quality of the JPEG files, 0 to 100"""
    sizes: tuple[Pixels, ...] = (256, 512)
    """longest sides to which images are shrunk, in pixels"""
    repeats: Repeats = 15
    """samples per rate"""
    threads: Processes = 2
    """threads that read side by side, compared with one alone"""
    clips: Repeats = 100
    """times that all frames and masks are read, cropped, while memory is watched; and a tenth as often"""
    folder: Path | None = None
    """folder for the files, which are removed again; by default the system's folder for temporary files"""
    quick: bool = False
    """an eighth of the pixels, three samples, ten clips: a few seconds"""
    out: Path = Path("benchmarks/results/loading.csv")
    """table to write"""

    def __post_init__(self) -> None:
        check_choices(self)

    def sized(self) -> LoadingBenchmark:
        """What is measured in the end, `quick` taken into account."""
        if not self.quick:
            return self
        fewer = replace(self, quick=False, repeats=min(3, self.repeats), clips=min(10, self.clips), frames=2)
        return replace(fewer, width=self.width // 2, height=self.height // 4)


def write_files(config: LoadingBenchmark, folder: Path, advance: Callable[[float], None]) -> dict[str, Paths]:
    """Write photographs and masks. Returns kind to paths, frames x views."""
    found: dict[str, Paths] = {
        kind: [[folder / f"{kind} {f} {v}.{ending}" for v in range(config.views)] for f in range(config.frames)]
        for kind, ending in _KINDS.items()
    }
    for frame, view in np.ndindex(config.frames, config.views):
        rng = np.random.default_rng([frame, view])
        photograph, mask = _photograph(config, rng), _mask(config, rng)
        for kind, paths in found.items():
            image = photograph if kind == "images" else mask
            image.save(paths[frame][view], quality=config.quality)
        advance(1 / (config.frames * config.views))
    return found


def _photograph(config: LoadingBenchmark, rng: np.random.Generator) -> Image.Image:
    size = config.width, config.height
    total = rng.normal(0, 3, (config.height, config.width, 1)).astype(np.float32)  # the sensor's noise
    for cell, weight in ((256, 0.5), (64, 0.25), (16, 0.13), (4, 0.07)):
        coarse = rng.integers(0, 256, (config.height // cell + 2, config.width // cell + 2, 3), np.uint8)
        total = total + weight * np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def _mask(config: LoadingBenchmark, rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[0.5 : config.height, 0.5 : config.width]
    middle_x, middle_y = (0.5 + rng.uniform(-0.1, 0.1, 2)) * (config.width, config.height)
    outline = 1 + 0.15 * np.sin(7 * np.arctan2(y - middle_y, x - middle_x))
    distance = np.hypot((x - middle_x) / (0.15 * config.width), (y - middle_y) / (0.4 * config.height)) / outline
    return Image.fromarray(np.clip((1 - distance) * 0.1 * config.width * 255 + 127, 0, 255).astype(np.uint8))


def ways(config: LoadingBenchmark, kind: str) -> dict[str, Read]:
    """What is measured of a kind of files, by name."""
    mode = "RGB" if kind == "images" else "L"
    full = config.width, config.height
    side = config.height / 2
    window = Window((config.width - side) / 2 + 0.3, config.height / 4 + 0.6, side, side)
    focal = 0.9 * config.width
    lens = Lens(np.array([[focal, 0, full[0] / 2], [0, focal, full[1] / 2], [0, 0, 1]]), np.array(_ZJU_LIKE))
    found: dict[str, Read] = {BASE: partial(_pillow, mode=mode, size=None)}
    for longest in config.sizes:
        size, square = fitted_size(*full, longest), (longest, longest)
        ours = partial(read_pixels, mode=mode, full=full)
        found |= {
            f"Pillow and its resize, {longest}": partial(_pillow, mode=mode, size=size),
            f"numpy area means, {longest}": partial(_numpy_means, mode=mode, size=size),
            f"ours, {longest}": partial(ours, size=size),
            f"ours, cropped, {longest}": partial(ours, size=square, window=window),
            f"ours, through a lens, {longest}": partial(ours, size=size, lens=lens),
        }
    found["ours, full size"] = partial(read_pixels, mode=mode, full=full, size=full)
    return found


def _pillow(path: Path, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    with Image.open(path) as image:
        pixels = image.convert(mode)
        return np.asarray(pixels if size is None else pixels.resize(size, Image.Resampling.BOX))


def _numpy_means(path: Path, mode: str, size: tuple[int, int]) -> np.ndarray:
    """What the package did before it had a kernel: all in float32, means as differences of running sums."""
    with Image.open(path) as image:
        for block in (8, 4, 2):
            fits = image.width % block == 0 and image.height % block == 0
            if fits and image.width // block >= size[0] and image.height // block >= size[1]:
                image.draft(mode, (image.width // block, image.height // block))
                break
        values = np.asarray(image.convert(mode), dtype=np.float32) / 255
    return _means(_means(values, size[1], 0), size[0], 1)


def _means(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    values = np.moveaxis(values, axis, 0)
    integral = np.concatenate([np.zeros_like(values[:1], np.float64), np.cumsum(values, 0, np.float64)])
    ends = np.linspace(0, len(values), count + 1)
    whole = np.minimum(ends.astype(int), len(values) - 1)
    at_ends = integral[whole] + (ends - whole).reshape(-1, *[1] * (values.ndim - 1)) * values[whole]
    return np.moveaxis(np.diff(at_ends, axis=0) * (count / len(values)), 0, axis).astype(np.float32)


def _check(config: LoadingBenchmark, found: Mapping[str, Read], path: Path) -> None:
    for longest in config.sizes:
        ours, expected = (found[f"{name}, {longest}"](path) for name in ("ours", "numpy area means"))
        if abs(ours - expected).max() > 1e-5:
            raise RuntimeError(f"{path.name}: expected the same means over areas, found a difference above 1e-5")


def measure(config: LoadingBenchmark, paths: Paths, found: Mapping[str, Read]) -> dict[tuple[str, int], Spread]:
    """Time ways of reading by turns, a frame per sample. Returns (name, threads) to milliseconds per image."""
    keys = {f"{name} {threads}": (name, threads) for threads in sorted({1, config.threads}) for name in found}
    with ThreadPoolExecutor(config.threads) as pool:
        works = {
            key: partial(_read_next, found[name], itertools.cycle(paths), pool if threads > 1 else None)
            for key, (name, threads) in keys.items()
        }
        spreads = interleaved(works, config.repeats)
    return {keys[key]: _per_image(spread, config.views) for key, spread in spreads.items()}


def _per_image(spread: Spread, images: int) -> Spread:
    parts = (spread.least, spread.lower, spread.median, spread.upper)
    return Spread(*(part / images for part in parts), samples=spread.samples)


def _read_next(read: Read, frames: Iterator[Sequence[Path]], pool: ThreadPoolExecutor | None) -> None:
    for _ in map(read, next(frames)) if pool is None else pool.map(read, next(frames)):
        pass


def read_clips(config: LoadingBenchmark, paths: Mapping[str, Paths], clips: int, pool: ThreadPoolExecutor) -> None:
    """Read all images and masks, cropped, this many times; a clip is dropped when it has been read."""
    name = f"ours, cropped, {min(config.sizes)}"
    for _ in range(clips):
        for kind in ("images", "masks, png"):
            list(pool.map(ways(config, kind)[name], itertools.chain(*paths[kind])))


def _watch_memory(config: LoadingBenchmark, paths: Mapping[str, Paths], progress: Progress) -> dict[int, float | None]:
    counts = (max(1, config.clips // 10), config.clips)
    peaks: dict[int, float | None] = {}
    with ThreadPoolExecutor(config.threads) as pool:
        read_clips(config, paths, 1, pool)
        for count in counts:
            advance = progress.begin(f"reading {count} clips", count)
            gc.collect()
            peaks[count] = extra_peak_mb(partial(read_clips, config, paths, count, pool))
            advance(1)
    return peaks


def main(config: LoadingBenchmark) -> None:
    """Write synthetic photographs and masks, and say how many per second are read in which way."""
    config = config.sized()
    about = machine("cpu", config.threads)
    try_folder(config.out.parent, "--out")
    if config.folder is not None:
        try_folder(config.folder, "--folder")
        config.folder.mkdir(parents=True, exist_ok=True)
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    del about["threads"]  # a column of its own
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    with (
        tempfile.TemporaryDirectory(dir=config.folder) as folder,
        Progress(10 + 20 * len(_KINDS) + 1.1 * config.clips) as progress,
    ):
        paths = write_files(config, Path(folder), progress.begin("writing files", 10))
        found: dict[str, dict[tuple[str, int], Spread]] = {}
        for kind in _KINDS:
            advance = progress.begin(f"reading {kind}", 20)
            readers = ways(config, kind)
            _check(config, readers, paths[kind][0][0])
            found[kind] = measure(config, paths[kind], readers)
            advance(1)
        peaks = _watch_memory(config, paths, progress)
        sizes = {kind: np.mean([path.stat().st_size for path in itertools.chain(*paths[kind])]) for kind in _KINDS}
    for kind, spreads in found.items():
        rows += [{**row, "file_kb": float(sizes[kind] / 1e3)} for row in _rows(kind, spreads)]
    rows += [
        {"kind": "memory", "name": f"{count} clips", "threads": config.threads, "extra_peak_mb": peak}
        for count, peak in peaks.items()
    ]
    write_table(config.out, [{**row, "width": config.width, "height": config.height, **about} for row in rows])
    for kind, spreads in found.items():
        _print(f"{kind} of {config.width} x {config.height}, {sizes[kind] / 1e3:.0f} kB", spreads)
    shown = ", ".join(f"{count} clips: {'-' if peak is None else f'{peak:.0f}'} MB" for count, peak in peaks.items())
    print(f"\nmost memory beyond what was held before, {config.threads} threads: {shown}")
    print(config.out)


def _rows(kind: str, spreads: Mapping[tuple[str, int], Spread]) -> Iterator[dict[str, object]]:
    for (name, threads), spread in spreads.items():
        yield {
            "kind": kind,
            "name": name,
            "threads": threads,
            "images_per_s": 1e3 / spread.median,
            "times_pillow": spreads[BASE, threads].median / spread.median,
            **{f"{part}_ms": getattr(spread, part) for part in ("least", "lower", "median", "upper")},
            "samples": spread.samples,
        }


def _print(title: str, spreads: Mapping[tuple[str, int], Spread]) -> None:
    threads = list(dict.fromkeys(count for _, count in spreads))
    print(f"\n{title}: images per second (times Pillow's decoding)")
    print(f"{'':28}" + "".join(f"{f'{count} thread' + 's' * (count > 1):>18}" for count in threads))
    for name in dict.fromkeys(name for name, _ in spreads):
        taken = [(spreads[name, count].median, spreads[BASE, count].median) for count in threads]
        cells = [f"{1e3 / median:.1f} ({base / median:.2f})" for median, base in taken]
        print(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    run_command(LoadingBenchmark, main)
