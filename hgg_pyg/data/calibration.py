"""Calibrated cameras from a JSON file: OpenCV, world to camera, x_cam = R x + T, metres, pixel centres at +0.5."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hgg_pyg.types import Cameras, UserError


@dataclass(frozen=True)
class Calibration:
    """V checked cameras."""

    names: tuple[str, ...]
    K: np.ndarray  # [V, 3, 3] pixels of the calibrated size
    R: np.ndarray  # [V, 3, 3]
    T: np.ndarray  # [V, 3] metres
    sizes: tuple[tuple[int, int] | None, ...]  # (width, height) where the file states it

    def cameras(self, full: tuple[int, int], loaded: tuple[int, int]) -> Cameras:
        """The cameras for images of size `full` (width, height) shrunk to `loaded`.

        With pixel centres at +0.5 an image's edges are at 0 and its size, so intrinsics scale like the size.
        """
        scale = np.diag([loaded[0] / full[0], loaded[1] / full[1], 1.0])
        viewmats = np.tile(np.eye(4), (len(self.names), 1, 1))
        viewmats[:, :3, :3], viewmats[:, :3, 3] = self.R, self.T
        return Cameras(
            viewmats=torch.tensor(viewmats, dtype=torch.float32),
            Ks=torch.tensor(scale @ self.K, dtype=torch.float32),
            width=loaded[0],
            height=loaded[1],
        )


def read_calibration(path: Path) -> Calibration:
    """Read {camera: {K, R, T, imgSize?, distCoeff?}}; 3x3 matrices nested or flat.

    Raises:
        UserError: not JSON, no camera, a key missing or of the wrong size, a value not finite, K not a pinhole matrix,
            R not a rotation, or a lens distortion that is not zero.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: expected {{camera: {{K, R, T}}}} with at least one camera, found {str(content)[:60]}")
    names = tuple(sorted(content))
    for name in names:
        if not isinstance(content[name], dict):
            raise UserError(f"{path}: camera '{name}': expected {{K, R, T}}, found {str(content[name])[:60]}")
    rows = [(f"{path}: camera '{name}'", content[name]) for name in names]
    for where, camera in rows:
        _refuse_distortion(where, camera)
    return Calibration(
        names,
        K=np.stack([_pinhole(where, camera) for where, camera in rows]),
        R=np.stack([_rotation(where, camera) for where, camera in rows]),
        T=np.stack([_numbers(where, camera, "T", 3) for where, camera in rows]),
        sizes=tuple(_size(where, camera) for where, camera in rows),
    )


def _numbers(where: str, camera: dict[str, Any], key: str, count: int | None) -> np.ndarray:
    if key not in camera:
        raise UserError(f"{where}: key '{key}' is missing; found {', '.join(sorted(camera)) or 'no keys'}")
    try:
        values = np.asarray(camera[key], dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: key '{key}': expected numbers, found {str(camera[key])[:60]}") from error
    if count is not None and len(values) != count:
        raise UserError(f"{where}: key '{key}': expected {count} numbers, found {len(values)}")
    if not np.isfinite(values).all():
        raise UserError(f"{where}: key '{key}': expected finite numbers, found NaN or Inf")
    return values


def _pinhole(where: str, camera: dict[str, Any]) -> np.ndarray:
    K = _numbers(where, camera, "K", 9).reshape(3, 3)
    if K[0, 0] <= 0 or K[1, 1] <= 0 or abs(K[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 1e-6 or abs(K[2, 2] - 1) > 1e-6:
        raise UserError(f"{where}: key 'K': expected [[fx,0,cx],[0,fy,cy],[0,0,1]] with fx, fy > 0, found {K.tolist()}")
    return K


def _rotation(where: str, camera: dict[str, Any]) -> np.ndarray:
    R = _numbers(where, camera, "R", 9).reshape(3, 3)
    error, determinant = abs(R @ R.T - np.eye(3)).max(), np.linalg.det(R)
    if error > 1e-3 or determinant < 0:
        raise UserError(
            f"{where}: key 'R': expected a rotation (R R^T = 1, determinant 1), "
            f"found R R^T off by {error:.2g} and determinant {determinant:.3g}"
        )
    return R


def _refuse_distortion(where: str, camera: dict[str, Any]) -> None:
    if np.any(_numbers(where, {"distCoeff": [], **camera}, "distCoeff", None)):
        raise UserError(
            f"{where}: key 'distCoeff': expected zeros, found {camera['distCoeff']}; "
            "undistort the images and masks first (cv2.undistort), then set distCoeff to zeros"
        )


def _size(where: str, camera: dict[str, Any]) -> tuple[int, int] | None:
    if "imgSize" not in camera:
        return None
    width, height = _numbers(where, camera, "imgSize", 2)
    return int(width), int(height)
