"""The ring of calibrated cameras around a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hgg_pyg.synthetic.raycast import View

_MARGIN = 0.04  # of the image, left free on every side


def draw_rig(rng: np.random.Generator, count: int, size: int, points: np.ndarray) -> list[View]:
    """Cameras that see all of `points` as large as fits, all with one focal length.

    Args:
        rng: small errors of placement come from it.
        count: cameras, at equal angles around the person, the first in front (+z).
        size: of the square images, pixels.
        points: [n, 3] metres, all that must be seen at any time.
    """
    middle = (points.min(0) + points.max(0)) / 2
    views = []
    for index in range(count):
        azimuth = 360 * index / count
        level = abs((azimuth + 45) % 90 - 45) < 1  # front, sides and back look straight at the person
        elevation = rng.uniform(5, 10) if level else (20, 10)[index % 2] + rng.uniform(-3, 3)
        azimuth += rng.normal(0, 0.5 if level else 1.5)
        up, around = np.radians(elevation), np.radians(azimuth)
        outward = np.array([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)])
        center = middle + rng.uniform(2.85, 3.1) * outward
        roll = np.radians(rng.normal(0, 0.7))
        view = _look_at(center, middle, roll, size)
        for _ in range(2):  # aim where the image of the person has its middle
            seen = view.project(points)
            ray = np.append((seen.min(0) + seen.max(0) - size) / 2, 1) @ view.rotation
            view = _look_at(center, center + ray, roll, size)
        views.append(view)
    # With a focal length of one pixel the projection is the offset from the image's centre per unit of focal length.
    reach = max(np.abs(view.project(points) - size / 2).max() for view in views)
    focal = (0.5 - _MARGIN) * size / reach
    return [replace(view, intrinsics=_intrinsics(focal, size)) for view in views]


def _look_at(center: np.ndarray, target: np.ndarray, roll: float, size: int) -> View:
    forward = target - center
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    rotation = np.stack([right, down, forward])
    return View(_intrinsics(1.0, size), rotation, -rotation @ center, size, size)


def _intrinsics(focal: float, size: int) -> np.ndarray:
    return np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
