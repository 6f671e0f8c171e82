"""`python -m benchmarks.headroom`: how much better than direct binding an avatar could be, and by what.

The network predicts a residual for every Gaussian of one frame: it shifts, rotates, resizes, fades and recolours. Here
that residual is fitted to each subject's own images instead, all of it or a part of it. What a fit reaches on views and
poses it has not seen is what the network could reach if it knew the subject; parts that help most are what it must
learn. Nothing is trained, and subjects are those of training and validation: test subjects are not for choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.timing import machine, write_table
from graphs import GraphSpec
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.config import FrameCount, Pixels, Steps, SubjectCount, ViewCount, check_choices
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.clips import Target, clip_graph, even_frames, input_range, load_target
from hgg_pyg.data.frames import FrameSource, check_views, frame_sources
from hgg_pyg.data.usable import some_usable
from hgg_pyg.evaluation.evaluator import TASKS
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.io.files import try_folder
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.residual import apply_residual
from hgg_pyg.render import render
from hgg_pyg.runtime import run_command
from hgg_pyg.training.losses import LossConfig, rendering_loss

_STEP = torch.tensor([0.3] * 3 + [0.5] * 3 + [1.0] * 3 + [2.0] + [0.5] * 3)  # per unit fitted, of each channel
_RATE, _VIEWS, _SHIFT_MM = 0.02, 4, 50.0


@dataclass(frozen=True)
class Part:
    """What of the residual is fitted."""

    name: str
    channels: range  # of the 13 that `apply_residual` takes
    shared: str = "gaussian"  # one residual per Gaussian, per vertex (for all Gaussians bound to it), or for the person


PARTS = (
    Part("all", range(13)),
    Part("shift", range(3)),
    Part("rotation", range(3, 6)),
    Part("size", range(6, 9)),
    Part("opacity", range(9, 10)),
    Part("colour", range(10, 13)),
    Part("all, one per vertex", range(13), "vertex"),
    Part("shift, one per vertex", range(3), "vertex"),
    Part("all, one per person", range(13), "person"),
)


@dataclass(frozen=True)
class HeadroomBenchmark:
    """What to fit, and to whom."""

    data: Path = Path("captures/demo")
    """folder of captures; the default one is made by `make train`"""
    body: Path | None = None
    """body model file, or its folder; as in training"""
    image_size: Pixels = 128
    """longest side of the images, in pixels; as in training"""
    input_views: ViewCount = 4
    """input cameras of the per-frame network; as in training"""
    frames: FrameCount = 8
    """T, input frames: the fit sees them from all cameras but those on which novel views are scored"""
    subjects: SubjectCount = 4
    """largest number of subjects, those of validation first"""
    steps: Steps = 200
    """steps of Adam, four images each"""
    views: Steps = 24
    """images per subject and task that are scored, evenly spaced"""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    out: Path = Path("benchmarks/results/headroom.csv")
    """table to write"""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True)
class Fit:
    """One part of the residual fitted to one subject."""

    subject: str
    part: str
    gaussians: int
    view_direct: float  # novel views, dB
    view_fitted: float
    pose_direct: float  # novel poses, dB
    pose_fitted: float
    shift_mm: float  # median length of the shifts, 0 where there are none


def fit(source: FrameSource, part: Part, config: HeadroomBenchmark) -> Fit:
    """Fit a part of the residual to a subject's input frames; the held-out half of its cameras scores novel views."""
    capture, body = source.capture, source.body
    inputs = even_frames(0, input_range(capture), config.frames)
    poses = capture.poses[list(inputs)]
    graph = clip_graph(
        [source.load(frame) for frame in inputs], body.pose(poses), body.faces, poses.betas, GraphSpec(readout_k=1)
    )
    direct = DirectBinding().avatar(graph)
    others = [c for c in range(len(capture.cameras)) if c not in source.cameras]
    scored = others[::2]
    shown = [c for c in range(len(capture.cameras)) if c not in scored]
    rows = {
        "gaussian": torch.arange(len(direct.gaussians)),
        "vertex": direct.binding,
        "person": torch.zeros(len(direct.gaussians), dtype=torch.long),
    }[part.shared]
    chosen = torch.zeros(13)
    chosen[list(part.channels)] = 1
    values = torch.zeros(int(rows.max()) + 1, 13, requires_grad=True)

    def avatar() -> BoundAvatar:
        return BoundAvatar(
            apply_residual(direct.gaussians, (values * _STEP * chosen)[rows]), direct.binding, direct.betas
        )

    optimizer, rng = torch.optim.Adam([values], _RATE), np.random.default_rng(0)
    for _ in range(config.steps):
        frame = int(rng.choice(inputs))
        cameras = rng.choice(shown, min(_VIEWS, len(shown)), replace=False).tolist()
        seen, rgb, alpha = load_target(capture, Target(frame, tuple(cameras)))
        rendered = render(avatar().repose(body, capture.poses[[frame]])[0], seen)
        optimizer.zero_grad()
        rendering_loss(rendered, rgb, alpha, LossConfig()).backward()
        optimizer.step()
    with torch.no_grad():
        before, after = ([_score(a, source, task, inputs, scored, config.views) for task in TASKS]
                         for a in (direct, avatar()))  # fmt: skip
    shift = (values.detach() * _STEP * chosen)[rows, :3].norm(dim=1).median()
    return Fit(
        subject=capture.name,
        part=part.name,
        gaussians=len(direct.gaussians),
        view_direct=before[0],
        view_fitted=after[0],
        pose_direct=before[1],
        pose_fitted=after[1],
        shift_mm=_SHIFT_MM * float(shift),
    )


def _score(
    avatar: BoundAvatar, source: FrameSource, task: str, inputs: Sequence[int], scored: Sequence[int], limit: int
) -> float:
    """Mean PSNR of a task's images, novel views from the cameras that the fit has not seen; dB."""
    count, cameras = len(source.capture.frames), range(len(source.capture.cameras))
    if task == TASKS[0]:
        every = [(frame, camera) for frame in inputs for camera in scored]
    else:
        every = [(frame, camera) for frame in range(input_range(source.capture), count) for camera in cameras]
    pairs = [every[i] for i in even_frames(0, len(every), limit)]
    values = []
    for frame, camera in pairs:
        seen, rgb, _ = load_target(source.capture, Target(frame, (camera,)))
        values.append(float(psnr(render(avatar.repose(source.body, source.capture.poses[[frame]])[0], seen).rgb, rgb)))
    return float(np.mean(values))


def table(fits: Sequence[Fit]) -> str:
    """Gains over direct binding, means over subjects and their spread."""
    lines = [f"{'fitted':22}{'novel view, dB':>18}{'novel pose, dB':>18}{'shift, mm':>12}"]
    for name in dict.fromkeys(f.part for f in fits):
        chosen = [f for f in fits if f.part == name]
        view = [f.view_fitted - f.view_direct for f in chosen]
        pose = [f.pose_fitted - f.pose_direct for f in chosen]
        cells = [f"{np.mean(gain):+.2f} ± {np.std(gain):.2f}" for gain in (view, pose)]
        lines.append(f"{name:22}{cells[0]:>18}{cells[1]:>18}{np.mean([f.shift_mm for f in chosen]):12.1f}")
    return "\n".join(lines)


def main(config: HeadroomBenchmark) -> None:
    """Fit the network's residual to single subjects, whole and in parts; say what each part gains."""
    body, backbone = load_body_for(config.data, config.body), make_backbone(config.backbone)
    check_views(backbone, config.input_views)
    try_folder(config.out.parent, "--out")
    captures = open_captures(config.data, config.image_size, body)
    chosen = list(dict.fromkeys((*captures.val, *captures.train)))[: config.subjects]
    sources = some_usable(frame_sources(chosen, config.input_views, backbone, body, Path("runs/cache")))
    fits = []
    with tqdm(total=len(sources) * len(PARTS), desc="fits", unit="fit") as bar:
        for source in sources:
            for part in PARTS:
                fits.append(fit(source, part, config))
                bar.update()
    print(table(fits))
    about = {**machine("cpu", torch.get_num_threads()), "data": str(config.data), "steps": config.steps}
    write_table(config.out, [{**asdict(f), **about} for f in fits])
    print(config.out)


if __name__ == "__main__":
    run_command(HeadroomBenchmark, main)
