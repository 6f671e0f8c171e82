"""From the images of eight moments to an avatar, by stages: the surface backbone, and LGM big with random weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch_geometric.data import HeteroData

from benchmarks.gpu_parts.captures import capture_size
from benchmarks.gpu_parts.setting import Setting, Sheet
from benchmarks.gpu_parts.stand_ins import use_stand_ins
from benchmarks.gpu_parts.subjects import VIEWS, sources
from benchmarks.timing import Spread
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.backbones import Backbone, LGMBackbone, LGMConfig, SurfaceBackbone, SurfaceConfig
from hgg_pyg.backbones.lgm.checkpoint import save_lgm
from hgg_pyg.backbones.lgm.network import LGM, PRESETS, Preset
from hgg_pyg.data.clips import clip_graph, even_frames, input_range
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.types import Gaussians

TOTAL = "images to avatar"
FRAMES = 8
Result = TypeVar("Result")


@dataclass
class Stages:
    """Wall times of stages, each ended by a wait for the device; milliseconds by name."""

    device: str
    took: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, work: Callable[[], Result]) -> Result:
        """Do the work and keep its time."""
        self._wait()
        begin = time.perf_counter()
        result = work()
        self._wait()
        self.took.setdefault(name, []).append(1e3 * (time.perf_counter() - begin))
        return result

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def run(setting: Setting) -> None:
    """Time the stages with each backbone; a row for each stage."""
    sheet = Sheet(setting, nearest_search=use_stand_ins())
    preset: Preset = "micro" if setting.toy else "big"
    surface = SurfaceBackbone(SurfaceConfig())
    for name, make in (("surface", lambda: surface), (f"lgm {preset}", lambda: _random_lgm(setting, preset))):
        backbone = make()
        rows = _rows(setting, backbone, 1 if setting.toy else 5)
        size = backbone.size if isinstance(backbone, LGMBackbone) else capture_size(setting.toy).size
        sheet.add({"backbone": name, "size": size, "views": VIEWS, **row} for row in rows)


def _rows(setting: Setting, backbone: Backbone, repeats: int) -> list[dict[str, object]]:
    source = sources(setting, backbone)["train"][0]
    frames = even_frames(0, input_range(source.capture), FRAMES)
    maker = _Maker(setting, source, frames)
    stages = Stages(setting.device)
    for turn in range(repeats + 1):
        if turn == 1:  # the first one compiled, allocated and read files
            stages.took.clear()
        stages.time(TOTAL, lambda: maker.avatar(stages))
    if isinstance(backbone, LGMBackbone) and not backbone.network.unet.config.anchored:
        together = _all_frames_at_once(backbone, len(frames), setting.device)
        for turn in range(repeats + 1):
            stages.time("LGM alone, all moments at once" if turn else "warm-up", together)
    about = {"moments": len(frames), "gaussians": maker.gaussians, "network": maker.network}
    spreads = {name: Spread.of(times) for name, times in stages.took.items() if name != "warm-up"}
    return [
        {"stage": name, "median_ms": spread.median, "least_ms": spread.least, "samples": spread.samples, **about}
        for name, spread in spreads.items()
    ]


class _Maker:
    """Makes avatars of some moments of one person: as the commands do, but for the graph, made on the device."""

    def __init__(self, setting: Setting, source: FrameSource, frames: Sequence[int]) -> None:
        self.source, self.frames, self.device = source, frames, setting.device
        self.body = deepcopy(source.body).to(setting.device)
        config = ModelConfig(num_layers=6, hidden_channels=128, heads=8)
        if setting.toy:
            config = ModelConfig(num_layers=1, hidden_channels=8, heads=2)
        graph = self._graph(self._predict())
        torch.manual_seed(0)
        self.model = HGGNet(config.for_graph(graph)).to(setting.device).eval()
        self.gaussians = graph["gaussian"].num_nodes
        self.network = f"L = {config.num_layers}, D = {config.hidden_channels}"

    @torch.no_grad()
    def avatar(self, stages: Stages) -> BoundAvatar:
        gaussians = stages.time("per-frame network", self._predict)
        graph = stages.time("graph", lambda: self._graph(gaussians))
        return stages.time("network", lambda: self._refine(graph))

    def _predict(self) -> list[Gaussians]:
        """Images from their files included."""
        return self.source.predict_all(self.frames)

    def _graph(self, gaussians: Sequence[Gaussians]) -> HeteroData:
        poses = self.source.capture.poses[list(self.frames)].to(self.device)
        moved = [frame.to(self.device) for frame in gaussians]
        return clip_graph(moved, self.body.pose(poses), self.body.faces, poses.betas).to(self.device)

    def _refine(self, graph: HeteroData) -> BoundAvatar:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            return self.model.avatar(graph)


def _random_lgm(setting: Setting, preset: Preset) -> LGMBackbone:
    """LGM as released, but for its weights: they are written to a file, since that is what it is loaded from."""
    path = setting.work / f"lgm_{preset}.safetensors"
    size = 32 if setting.toy else 256
    if not path.is_file():
        torch.manual_seed(0)
        with torch.device(setting.device):
            network = LGM(PRESETS[preset])
        save_lgm(network.half(), preset, size, path)
    return LGMBackbone(LGMConfig(checkpoint=path), setting.device)


def _all_frames_at_once(backbone: LGMBackbone, count: int, device: str) -> Callable[[], object]:
    """The network alone on the images of several moments in one batch, bfloat16 on a GPU."""
    inputs = torch.randn(count, VIEWS, 9, backbone.size, backbone.size, device=device)

    @torch.no_grad()
    def work() -> object:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return backbone.network(inputs)

    return work
