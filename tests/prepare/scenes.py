"""People of the open body who walk on the spot, seen by a ring of cameras: what the steps before a fit are tried on."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from hgg_pyg.body import JOINTS, load_body
from hgg_pyg.data.calibration import Calibration, Entry, make_calibration
from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.rays import project
from hgg_pyg.types import BodyPose

SIZE = (1000, 1200)
_LENS = (-0.12, 0.05, 1e-3, -8e-4, 0.01)
_FACE = {"nose": (0, 0.05, 0.12), "eye": (0.03, 0.08, 0.1), "ear": (0.08, 0.06, 0.0)}  # metres from the head's joint
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def ring(count: int, distance: float = 4.0, lens: tuple[float, ...] = _LENS) -> Calibration:
    """Cameras cam00, cam01, ... around the origin at uneven angles, which look at it from a little above."""
    entries = []
    for camera in range(count):
        angle = 2 * np.pi * camera / count + 0.2 * np.sin(3.0 * camera)
        place = np.array([distance * np.sin(angle), 1.2, distance * np.cos(angle)])
        z = -place / np.linalg.norm(place)
        x = np.cross(z, (0, 1.0, 0))
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        K = np.array([[1100.0, 0, 490 + 3 * camera], [0, 1105, 610], [0, 0, 1]])
        entries.append(Entry(f"cam{camera:02d}", f"cam{camera:02d}", K, R, -R @ place, lens, SIZE))
    return make_calibration(entries)


@cache
def person(frames: int, seed: int = 0, place: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """COCO-17 of someone who walks on the spot, turns and drifts. [F, 17, 3] metres, y up; not to be written to"""
    rng = np.random.default_rng(seed)
    body, time = load_body(), np.arange(frames) / 15
    swing = np.sin(2 * np.pi * 0.9 * time + rng.uniform(0, 6))
    angles = np.zeros((frames, len(JOINTS), 3))
    for side, sign in (("left", 1), ("right", -1)):
        angles[:, JOINTS.index(f"{side}_hip"), 0] = -0.5 * sign * swing
        angles[:, JOINTS.index(f"{side}_knee"), 0] = 0.4 - 0.4 * sign * swing
        angles[:, JOINTS.index(f"{side}_shoulder")] = np.stack(
            [0.5 * sign * swing, 0 * time, -1.1 * sign + 0 * time], 1
        )
        angles[:, JOINTS.index(f"{side}_elbow"), 1] = -sign * (0.8 + 0.3 * swing)
    angles[:, 0, 1] = rng.uniform(0, 6) + 0.8 * time
    move = np.stack([place[0] + 0.3 * np.sin(time), 0 * time, place[1] + 0.2 * np.cos(0.7 * time)], 1)
    rows = torch.tensor(angles.reshape(frames, -1), dtype=torch.float32)
    betas = torch.tensor(rng.normal(0, 0.7, 4), dtype=torch.float32)
    rest = body.rest_joints(betas)
    maps, _ = body.bend(BodyPose(betas, rows[:, :3], rows[:, 3:], torch.zeros(frames, 3)), rest)
    points = torch.stack([rest[_joint(name)] + torch.tensor(_beside(name)) for name in COCO_17.points])
    moved = maps[:, [_joint(name) for name in COCO_17.points]]
    found = torch.einsum("fjab,jb->fja", moved[..., :3, :3], points) + moved[..., :3, 3]
    return found.double().numpy() + move[:, None]


def _joint(name: str) -> int:
    return JOINTS.index(name) if name.split("_")[-1] in _LIMBS else JOINTS.index("head")


def _beside(name: str) -> tuple[float, float, float]:
    x, y, z = _FACE.get(name.split("_")[-1], (0.0, 0.0, 0.0))
    return (-x, y, z) if name.startswith("right") else (x, y, z)


def seen(points3d: np.ndarray, calibration: Calibration, noise: float = 2.0, seed: int = 0) -> np.ndarray:
    """Landmarks as a network might find them. [F, J, 3] -> [F, V, J, 3], noise in pixels, confidence 0.9"""
    pixels = project(points3d, calibration)
    pixels = pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return np.concatenate([pixels, np.full((*pixels.shape[:-1], 1), 0.9)], -1)
