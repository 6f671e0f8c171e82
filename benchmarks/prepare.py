"""`python -m benchmarks.prepare`: how near preparing comes to the truth, on videos of synthetic people.

Captures of known poses become videos and a calibration file; `hgg_pyg.prepare` makes captures of these again. Compared
are joints and vertices of the body in all frames, and the novel-pose PSNR of avatars by the shipped weights, made of
the fitted captures and of those with true poses.

The landmark network has learnt from photographs. With `--landmarks true` (the default) the fit is given the true
landmarks in each image with some noise, and the true masks, so that what is measured is all but the network;
`--landmarks network` gives it the videos alone.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import machine, write_table
from hgg_pyg.avatar.film.formats.mp4 import write_mp4
from hgg_pyg.backbones import make_backbone
from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.blending import blend
from hgg_pyg.config import Bounds, FrameCount, Pixels, Seed, SubjectCount, ViewCount, check_choices
from hgg_pyg.data.calibration import read_calibration
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import open_captures
from hgg_pyg.data.frames import frame_sources
from hgg_pyg.data.usable import some_usable
from hgg_pyg.evaluation.evaluator import Extras, evaluate
from hgg_pyg.evaluation.reporting.report import DIRECT, OURS, TASKS
from hgg_pyg.io.files import try_folder
from hgg_pyg.prepare.config import PrepareConfig
from hgg_pyg.prepare.fit.anchors import make_anchors
from hgg_pyg.prepare.landmark_sets import MEDIAPIPE_33
from hgg_pyg.prepare.pipeline import prepare
from hgg_pyg.prepare.rays import project
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig, synthesize
from hgg_pyg.training.run import read_config
from hgg_pyg.training.shipped import SHIPPED
from hgg_pyg.training.trained import load_network
from hgg_pyg.types import BodyPose, UserError

NOVEL_POSE = TASKS[1]
_SECONDS = 4.0  # that a synthetic person's motion takes


@dataclass(frozen=True)
class PrepareBenchmark:
    """Who is filmed, how, and what the fit is given.

    Raises:
        ValueError: a number is out of its bounds.
    """

    subjects: SubjectCount = 3
    """people that are prepared"""
    cameras: tuple[ViewCount, ...] = (4, 8)
    """numbers of cameras that film them, evenly chosen of the ring's"""
    ring: ViewCount = 8
    """cameras around each of them"""
    frames: FrameCount = 40
    """moments, over the four seconds that a person's motion takes"""
    size: Pixels = 640
    """height and width of the videos, pixels"""
    seed: Seed = 31
    """of the people"""
    landmarks: Literal["true", "network"] = "true"
    """what the fit is given beside videos and calibration: true landmarks with noise and true masks, or nothing"""
    noise: Annotated[float, Bounds(0, 100)] = 2.0
    """standard deviation of true landmarks' noise, pixels"""
    images: FrameCount = 24
    """images a subject that avatars are scored on, in novel poses"""
    work: Path = Path("captures/prepare_benchmark")
    """folder of the people, their videos and what is prepared of them; what is there is used again"""
    out: Path = Path("benchmarks/results/prepare.csv")
    """table to write"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.subjects < 3:
            raise ValueError(f"subjects: expected at least 3, found {self.subjects}")
        if max(self.cameras) > self.ring:
            raise ValueError(f"cameras: expected at most the ring's {self.ring}, found {max(self.cameras)}")


@dataclass(frozen=True)
class Nearness:
    """One person filmed by some cameras: the fit beside the truth."""

    subject: str
    cameras: int
    frames: int
    landmarks: str
    joints_mm: float  # median over joints and frames
    joints_mean_mm: float
    vertices_mm: float  # median over vertices and frames
    vertices_mean_mm: float
    true_direct: float  # dB in novel poses, direct binding on true poses
    true_ours: float
    fitted_direct: float  # the same on fitted ones
    fitted_ours: float

    @property
    def lost(self) -> float:
        """dB by which the avatar of the fitted capture is behind."""
        return self.true_ours - self.fitted_ours


def film(truth: Path, cameras: tuple[str, ...], folder: Path, fps: float) -> None:
    """Write a capture's images as videos, one for each camera, unless they are there."""
    if folder.is_dir():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for camera in cameras:
        files = sorted((truth / camera).glob("*.jpg"))
        write_mp4(partial / f"{camera}.mp4", (np.asarray(Image.open(file).convert("RGB")) for file in files), fps)
    partial.rename(folder)


def anchors_of(body: BodyModel, poses: BodyPose) -> np.ndarray:
    """Where landmarks of the body are, NaN those that it does not have. [F, 33, 3] metres"""
    anchors, shaped = make_anchors(body, MEDIAPIPE_33), body.shaped_vertices(poses.betas)
    joints, _ = body.bend(poses, body.joints_of(shaped))
    maps = blend(anchors.weights, joints, poses.transl)
    places = torch.einsum("faxy,ay->fax", maps[..., :3, :3], anchors.regressor @ shaped) + maps[..., :3, 3]
    found = np.full((len(poses), len(MEDIAPIPE_33), 3), np.nan)
    found[:, anchors.columns.numpy()] = places.numpy()
    return found


def true_landmarks(path: Path, body: BodyModel, capture: Capture, folder: Path, noise: float) -> None:
    """Write the landmarks of the posed body in every image, with noise, as `--landmarks-2d` takes them."""
    calibration = read_calibration(folder / "calibration_full.json")
    pixels = project(anchors_of(body, capture.poses), calibration)
    pixels += np.random.default_rng(0).normal(0, noise, pixels.shape)
    confidence = np.isfinite(pixels).all(-1, keepdims=True)
    points = np.concatenate([pixels, confidence], -1)
    np.savez(path, points2d=points, cameras=calibration.names, landmarks=MEDIAPIPE_33.name, axes="FVJ")


def novel_poses(folder: Path, body: BodyModel, views: int, size: int, images: int) -> tuple[float, float]:
    """PSNR in novel poses of direct binding and of the shipped weights, on one capture. dB"""
    trained = read_config(SHIPPED)
    backbone = make_backbone(trained.backbone)
    captures = open_captures(folder, size, body).require("all", folder)
    sources = some_usable(frame_sources(captures, views, backbone, body, Path("runs/cache")))
    model = load_network(SHIPPED, body, backbone, torch.device("cpu"))
    extras = Extras(regions=False, timing=False, shown=0)
    report = evaluate(model, sources, trained.graph, trained.clip.frames, images, extras=extras)
    return report.mean(NOVEL_POSE, DIRECT, "psnr"), report.mean(NOVEL_POSE, OURS, "psnr")


def one(config: PrepareBenchmark, people: Path, subject: str, cameras: int) -> Nearness:
    """Film, prepare and compare one person."""
    truth, body, fps = people / subject, load_body(), config.frames / _SECONDS
    work = config.work / f"{subject}_{cameras}cameras_{config.landmarks}"
    names = tuple(read_calibration(truth / "calibration_full.json").names)
    names = names[:: len(names) // cameras][:cameras]
    seen = work / "truth" / subject  # the same cameras and no others, for scores that can be compared
    if not seen.is_dir():
        shutil.copytree(truth, seen, ignore=lambda folder, files: _others(Path(folder), files, truth, names))
        _keep_cameras(seen / "calibration_full.json", names)
    capture = open_captures(seen, config.size, body).require("all", seen)[0]
    film(seen, names, work / "videos", fps)
    landmarks = masks = None
    if config.landmarks == "true":
        true_landmarks(work / "landmarks.npz", body, capture, seen, config.noise)
        for camera in names:
            shutil.copytree(seen / camera / "mask" / "pha", work / "masks" / camera, dirs_exist_ok=True)
        landmarks, masks = work / "landmarks.npz", work / "masks"
    fitted = work / "fitted" / subject
    prepare(
        PrepareConfig(
            out=fitted,
            videos=(work / "videos",),
            calibration=(seen / "calibration_full.json",),
            landmarks_2d=landmarks,
            masks=masks,
        )
    )
    found = open_captures(fitted, config.size, body).require("all", fitted)[0]
    if len(found.frames) != len(capture.frames):
        raise UserError(f"{fitted}: expected all {len(capture.frames)} frames, found {len(found.frames)}")
    joints = 1000 * (body.posed_joints(found.poses) - body.posed_joints(capture.poses)).norm(dim=-1)
    vertices = 1000 * (body.pose(found.poses).vertices - body.pose(capture.poses).vertices).norm(dim=-1)
    scores = [novel_poses(folder, body, 4, config.size, config.images) for folder in (seen, fitted)]
    return Nearness(
        subject=subject,
        cameras=cameras,
        frames=len(found.frames),
        landmarks=config.landmarks,
        joints_mm=joints.median().item(),
        joints_mean_mm=joints.mean().item(),
        vertices_mm=vertices.median().item(),
        vertices_mean_mm=vertices.mean().item(),
        true_direct=scores[0][0],
        true_ours=scores[0][1],
        fitted_direct=scores[1][0],
        fitted_ours=scores[1][1],
    )


def _others(folder: Path, files: list[str], truth: Path, names: tuple[str, ...]) -> list[str]:
    """Folders of cameras that do not film."""
    return [file for file in files if folder == truth and (folder / file).is_dir() and file not in names]


def _keep_cameras(path: Path, names: tuple[str, ...]) -> None:
    cameras = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({name: cameras[name] for name in names}), "utf-8")


def table(rows: list[Nearness]) -> str:
    """A line for each person and number of cameras."""
    lines = [
        f"{'person':12}{'cameras':>8}{'joints':>9}{'vertices':>10}{'true':>8}{'fitted':>8}{'lost':>7}{'direct':>8}"
    ]
    for row in rows:
        near = f"{row.joints_mm:6.1f} mm{row.vertices_mm:7.1f} mm"
        psnr = f"{row.true_ours:8.2f}{row.fitted_ours:8.2f}{row.lost:7.2f}{row.fitted_direct:8.2f}"
        lines.append(f"{row.subject:12}{row.cameras:8}{near}{psnr}")
    return "\n".join(lines)


def main(config: PrepareBenchmark) -> list[Nearness]:
    """Prepare videos of synthetic people and compare with the truth."""
    try_folder(config.out.parent, "--out")
    people = config.work / "people"
    synthesize(SynthesizeConfig(people, config.subjects, config.frames, config.ring, config.size, config.seed))
    subjects = [f"subject{number:03d}" for number in range(config.subjects)]
    rows = []
    for cameras in config.cameras:
        for subject in subjects:
            rows.append(one(config, people, subject, cameras))
            print(table(rows[-1:]), flush=True)
    print(table(rows))
    write_table(
        config.out, [{**asdict(row), "lost": row.lost, **machine("cpu", torch.get_num_threads())} for row in rows]
    )
    return rows


if __name__ == "__main__":
    run_command(PrepareBenchmark, main)
