"""Videos of a synthetic capture, and a landmark network that knows its true landmarks: tests need no real one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks import Sighting
from tests.prepare.films import write_video

_JOINTS = [
    f"{side}_{name}" for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
]
_SKIN = ["nose", *(f"{side}_{name}" for name in ("ear", "heel", "big_toe") for side in ("left", "right"))]
LANDMARKS = LandmarkSet("stand-in", tuple(_JOINTS + _SKIN))
_THUMB = (16, 16)


class StandIn:
    """Finds the person of the capture's image that is most alike, and nobody in images unlike all of them."""

    landmarks = LANDMARKS

    def __init__(self, folder: Path) -> None:
        self.capture, self.looked_at = open_capture(folder), 0
        points = true_landmarks(self.capture, load_body())
        self._known = [
            (_thumb(_pixels(self.capture.images.path(frame, camera))), Sighting(points[frame, camera], mask))
            for frame in range(len(self.capture.frames))
            for camera in range(len(self.capture.camera_names))
            for mask in [_pixels(self.capture.masks.path(frame, camera), "L")]
        ]

    def find(self, image: np.ndarray, most: int) -> list[Sighting]:
        self.looked_at += 1
        thumb = _thumb(image)
        away = [abs(thumb - known).mean() for known, _ in self._known]
        nearest = int(np.argmin(away))
        return [self._known[nearest][1]] if away[nearest] < 6 else []


def open_capture(folder: Path) -> Capture:
    """A synthetic subject, its images as large as they are."""
    (subject,) = find_subjects(folder).values()
    return make_capture(subject.folder, subject.layout, load_body(), 65_535)


def true_landmarks(capture: Capture, body: BodyModel) -> np.ndarray:
    """x, y in pixels and a confidence of 1. [F, V, J, 3]"""
    poses = capture.poses
    rest = body.rest_joints(poses.betas)
    maps, _ = body.bend(poses, rest)
    joints = (maps[..., :3, :3] @ rest[..., None])[..., 0] + maps[..., :3, 3] + poses.transl[:, None]
    joints = joints[:, [body.joint_names.index(name) for name in _JOINTS]]
    skin = body.pose(poses).vertices[:, [body.landmark_vertices[name] for name in _SKIN]]
    world = np.concatenate([joints.numpy(), skin.numpy()], 1)
    views, K = capture.cameras.viewmats.numpy(), capture.cameras.Ks.numpy()
    seen = np.einsum("vab,fjb->fvja", views[:, :3, :3], world) + views[:, :3, 3][:, None]
    pixels = np.einsum("vab,fvjb->fvja", K, seen / seen[..., 2:])
    return np.concatenate([pixels[..., :2], np.ones((*pixels.shape[:3], 1))], -1)


def film_capture(folder: Path, out: Path, rate: int = 30) -> tuple[Path, Path]:
    """A synthetic subject as people have theirs: a folder of videos, and a file of the calibration."""
    capture = open_capture(folder)
    for camera, name in enumerate(capture.camera_names):
        pictures = [_pixels(capture.images.path(frame, camera)) for frame in range(len(capture.frames))]
        write_video(out / "videos" / f"{name}.mp4", pictures, rate)
    calibration = json.loads((folder / "calibration_full.json").read_text())
    (out / "cameras.json").write_text(json.dumps(calibration))
    return out / "videos", out / "cameras.json"


def _pixels(path: Path, mode: str = "RGB") -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


def _thumb(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(_THUMB, Image.Resampling.BOX)).astype(float)
