"""One synthetic subject as a capture on disk, in the AvatarReX / THuman4 layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel
from hgg_pyg.data.synthetic.config import SynthesizeConfig
from hgg_pyg.data.synthetic.motion import Performance, draw_performance
from hgg_pyg.data.synthetic.raycast import View
from hgg_pyg.data.synthetic.rig import draw_rig
from hgg_pyg.data.synthetic.skeleton import rotvecs_from_euler
from hgg_pyg.data.synthetic.subject import Subject, draw_subject


def write_subject(config: SynthesizeConfig, index: int, body: BodyModel, written: Callable[[int], None]) -> None:
    """Draw one subject, film it and write its folder, under a temporary name until all is there.

    Args:
        config: what to synthesize.
        index: of the subject; with the seed it decides everything about it.
        body: whose shapes and weights the subject has.
        written: called with the number of images written since the last call.
    """
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, index]))
    subject, performance = draw_subject(rng, body), draw_performance(rng)
    tone = rng.uniform(0.4, 0.62) * np.array([0.96, 1.04, 0.98]) + rng.normal(0, 0.01, 3)
    rotvecs, transl = _film(subject, performance, config.frames)
    poses = [subject.skeleton.transforms(*pose) for pose in zip(rotvecs, transl, strict=True)]
    seen = np.concatenate([subject.figure.vertices(pose)[::3] for pose in poses])
    views = draw_rig(rng, config.views, config.size, seen)

    final = config.out / subject_name(index)
    folder = final.with_name(f".{final.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    names = [f"cam{camera:02d}" for camera in range(config.views)]
    for name in names:
        (folder / name / "mask" / "pha").mkdir(parents=True)
    (folder / "calibration_full.json").write_text(json.dumps(_calibration(names, views), indent=1))
    np.savez(
        folder / "smpl_params.npz",
        betas=subject.betas[None],
        global_orient=rotvecs[:, 0].astype(np.float32),
        transl=transl.astype(np.float32),
        body_pose=rotvecs[:, 1:].reshape(config.frames, -1).astype(np.float32),
    )
    backgrounds = [_backdrop(tone, config.size, camera) for camera in range(config.views)]
    for frame, pose in enumerate(poses):
        posed = subject.figure.pose(pose)
        for name, view, background in zip(names, views, backgrounds, strict=True):
            image, mask = posed.draw(view, background)
            _save(folder / name / f"{frame:08d}.jpg", image)
            _save(folder / name / "mask" / "pha" / f"{frame:08d}.jpg", mask)
        written(config.views)
    folder.rename(final)


def subject_name(index: int) -> str:
    """The name of a subject's folder."""
    return f"subject{index:03d}"


def _film(subject: Subject, performance: Performance, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Axis-angle of all joints [F, J, 3] and translation [F, 3] that stands the person on the ground at the origin."""
    angles, heading = performance.sample(frames)
    rotvecs = rotvecs_from_euler(angles)
    turned = Rotation.from_rotvec(np.radians(heading)[:, None] * [0, 1, 0]) * Rotation.from_rotvec(rotvecs[:, 0])
    rotvecs[:, 0] = turned.as_rotvec()
    transl = np.tile(-subject.skeleton.joints[0], (frames, 1))
    for frame in range(frames):
        transl[frame, 1] = 0
        standing = subject.skeleton.transforms(rotvecs[frame], transl[frame])
        transl[frame, 1] = -subject.figure.vertices(standing)[:, 1].min()
    return rotvecs, transl


def _calibration(names: list[str], views: list[View]) -> dict[str, dict[str, list]]:
    return {
        name: {
            "K": view.intrinsics.tolist(),
            "R": view.rotation.tolist(),
            "T": view.translation.tolist(),
            "imgSize": [view.size, view.size],
            "distCoeff": [0.0] * 5,
        }
        for name, view in zip(names, views, strict=True)
    }


def _backdrop(tone: np.ndarray, size: int, camera: int) -> np.ndarray:
    """A studio wall, a little lighter on top and towards one side. [size, size, 3]"""
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    side = np.cos(2.4 * camera)
    return (tone * (1 - 0.07 * down + 0.05 * side * across)[..., None]).astype(np.float32)


def _save(path: Path, pixels: np.ndarray) -> None:
    """A JPEG of an image [H, W, 3] or a mask [H, W] in [0, 1], without subsampling of its colours."""
    Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(path, quality=95, subsampling=0)
