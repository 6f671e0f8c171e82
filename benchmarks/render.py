"""`python -m benchmarks.render`: the CPU rasteriser beside the plain reference, forward and forward + backward."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.timing import median_ms, write_table
from hgg_pyg.render import reference, render
from hgg_pyg.runtime import run_command
from hgg_pyg.types import Cameras, Gaussians

_REFERENCE_LIMIT = 5e7  # Gaussians x pixels x views: beyond this the dense reference needs tens of gigabytes


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure."""

    gaussians: tuple[int, ...] = (1000, 10_000, 65_536)
    """how many Gaussians"""
    sizes: tuple[int, ...] = (64, 128, 512)
    """widths and heights of the images"""
    repeats: int = 5
    """runs of which the median is reported, after one that is not counted"""
    threads: int = 1
    """threads of torch and numba"""
    out: Path = Path("benchmarks/results/render.csv")
    """where the table goes"""


@dataclass(frozen=True)
class Row:
    """One measurement, medians in milliseconds."""

    rasteriser: str
    gaussians: int
    size: int
    threads: int
    forward_ms: float
    forward_backward_ms: float
    machine: str
    torch: str
    date: str


def person_sized_shell(count: int, seed: int = 0) -> Gaussians:
    """Gaussians on an ellipsoid as large as a person, standard deviations of 5 to 20 mm."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return Gaussians(
        means=directions * torch.tensor([0.5, 0.9, 0.5]),
        quats=torch.randn(count, 4, generator=generator),
        scales=0.005 * 4 ** torch.rand(count, 3, generator=generator),
        opacities=0.3 + 0.69 * torch.rand(count, generator=generator),
        colors=torch.rand(count, 3, generator=generator),
    )


def front_camera(size: int) -> Cameras:
    """One camera three metres away that sees all of the shell."""
    view = torch.eye(4)
    view[2, 3] = 3.0
    focal = 1.42 * size
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(view[None], K[None], size, size)


def measure(
    name: str, draw: Callable[[Gaussians, Cameras], torch.Tensor], count: int, size: int, config: BenchmarkConfig
) -> Row:
    """Time one rasteriser on one scene."""
    still, camera = person_sized_shell(count), front_camera(size)
    moving = still.map(lambda tensor: tensor.clone().requires_grad_())

    def forward() -> None:
        with torch.no_grad():
            draw(still, camera)

    def forward_backward() -> None:
        draw(moving, camera).square().sum().backward()

    machine = f"{platform.machine()} {platform.system()}"
    times = median_ms(forward, config.repeats), median_ms(forward_backward, config.repeats)
    return Row(name, count, size, config.threads, *times, machine, torch.__version__, date.today().isoformat())


def main(config: BenchmarkConfig) -> None:
    """Time the CPU rasteriser and, where it fits into memory, the plain reference; write a CSV."""
    torch.set_num_threads(config.threads)
    rasterisers: dict[str, Callable[[Gaussians, Cameras], torch.Tensor]] = {
        "cpu": lambda gaussians, cameras: render(gaussians, cameras, backend="cpu").rgb,
        "reference": lambda gaussians, cameras: reference.draw(gaussians, cameras)[0],
    }
    scenes = [(n, count, size) for count in config.gaussians for size in config.sizes for n in rasterisers]
    scenes = [scene for scene in scenes if scene[0] == "cpu" or scene[1] * scene[2] ** 2 <= _REFERENCE_LIMIT]
    rows = [measure(n, rasterisers[n], count, size, config) for n, count, size in tqdm(scenes, unit="scene")]

    write_table(config.out, [asdict(row) for row in rows])
    for row in rows:
        print(f"{row.rasteriser:10} {row.gaussians:8d} {row.size:5d}^2 {row.forward_ms:10.1f} ms forward "
              f"{row.forward_backward_ms:10.1f} ms with backward")  # fmt: skip


if __name__ == "__main__":
    run_command(BenchmarkConfig, main)
