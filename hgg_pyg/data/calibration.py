"""Calibrated cameras: OpenCV, world to camera, x_cam = R x + T, metres, pixel centres at +0.5; each entry checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hgg_pyg.data.lens import Lens
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.types import Cameras, UserError

_SAME_PLACE = 1e-5  # metres, and radians: two cameras nearer than this are one camera written twice


@dataclass(frozen=True)
class Calibration:
    """V checked cameras."""

    names: tuple[str, ...]
    K: np.ndarray  # [V, 3, 3] pixels of the calibrated size
    R: np.ndarray  # [V, 3, 3]
    T: np.ndarray  # [V, 3] metres
    distortion: np.ndarray  # [V, 5] k1 k2 p1 p2 k3
    sizes: tuple[tuple[int, int] | None, ...]  # (width, height) that K is for; None: the images' own

    def select(self, kept: Sequence[int]) -> Calibration:
        """Some of the cameras, by position."""
        chosen = list(kept)
        return Calibration(
            names=tuple(self.names[camera] for camera in chosen),
            K=self.K[chosen],
            R=self.R[chosen],
            T=self.T[chosen],
            distortion=self.distortion[chosen],
            sizes=tuple(self.sizes[camera] for camera in chosen),
        )

    def intrinsics(self, size: tuple[int, int]) -> np.ndarray:
        """K for images of this (width, height). [V, 3, 3] float64

        With pixel centres at +0.5 an image's edges are at 0 and its size, so intrinsics scale like the size.
        """
        scales = [np.divide(size, stated or size) for stated in self.sizes]
        return np.stack([np.diag([*scale, 1.0]) @ K for scale, K in zip(scales, self.K, strict=True)])

    def cameras(self, size: tuple[int, int]) -> Cameras:
        """The cameras for images of this (width, height), without distortion."""
        viewmats = np.tile(np.eye(4), (len(self.names), 1, 1))
        viewmats[:, :3, :3], viewmats[:, :3, 3] = self.R, self.T
        return Cameras(
            viewmats=torch.tensor(viewmats, dtype=torch.float32),
            Ks=torch.tensor(self.intrinsics(size), dtype=torch.float32),
            width=size[0],
            height=size[1],
        )

    def lenses(self, size: tuple[int, int]) -> tuple[Lens, ...] | None:
        """How each camera's images of this (width, height) are distorted; None if none of them is."""
        if not self.distortion.any():
            return None
        return tuple(Lens(K, distortion) for K, distortion in zip(self.intrinsics(size), self.distortion, strict=True))


@dataclass(frozen=True)
class Entry:
    """One camera as a file has it; `make_calibration` checks it."""

    name: str
    where: str  # file and camera, for messages
    K: Any
    R: Any
    T: Any  # metres
    distortion: Any = ()  # 0, 4 or 5 numbers
    size: Any = None  # (width, height) that K is for
    keys: tuple[str, str, str] = ("K", "R", "T")  # what the file calls them


def make_calibration(entries: Sequence[Entry]) -> Calibration:
    """Check cameras and put them in order of their names; 3x3 matrices nested or flat.

    Raises:
        UserError: a value of the wrong size or not finite, K not a pinhole matrix, R not a rotation, more than five
            coefficients of distortion, two cameras in one place.
    """
    entries = sorted(entries, key=lambda entry: entry.name)
    calibration = Calibration(
        names=tuple(entry.name for entry in entries),
        K=np.stack([_pinhole(entry) for entry in entries]),
        R=np.stack([_rotation(entry) for entry in entries]),
        T=np.stack([numbers(entry.where, entry.keys[2], entry.T, 3) for entry in entries]),
        distortion=np.stack([_distortion(entry) for entry in entries]),
        sizes=tuple(_size(entry) for entry in entries),
    )
    _refuse_twins(entries, calibration)
    return calibration


def read_calibration(path: Path) -> Calibration:
    """Read {camera: {K, R, T, imgSize?, distCoeff?}} from a JSON file.

    Raises:
        UserError: no camera, a key missing, or as `read_json` and `make_calibration`.
    """
    expected = "{camera: {K, R, T}} with at least one camera"
    content = read_json_object(path, expected)
    if not content:
        raise UserError(f"{path}: expected {expected}, found {{}}")
    entries = []
    for name, camera in content.items():
        where = f"{path}: camera '{name}'"
        if not isinstance(camera, dict):
            raise UserError(f"{where}: expected {{K, R, T}}, found {shown(camera)}")
        K, R, T = (require(where, camera, key) for key in ("K", "R", "T"))
        entries.append(Entry(name, where, K, R, T, camera.get("distCoeff", ()), camera.get("imgSize")))
    return make_calibration(entries)


def require(where: str, record: dict[str, Any], key: str) -> Any:
    """The value of a key.

    Raises:
        UserError: there is none.
    """
    if key not in record:
        raise UserError(
            f"{where}: key '{key}' is missing; found {shown(', '.join(sorted(map(str, record))), 300) or 'no keys'}"
        )
    return record[key]


def numbers(where: str, key: str, value: Any, count: int | None) -> np.ndarray:
    """A value as flat float64 numbers.

    Raises:
        UserError: they are not numbers, not as many as `count`, or not finite.
    """
    try:
        values = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: key '{key}': expected numbers, found {shown(value)}") from error
    if count is not None and len(values) != count:
        raise UserError(f"{where}: key '{key}': expected {count} numbers, found {len(values)}")
    if not np.isfinite(values).all():
        raise UserError(f"{where}: key '{key}': expected finite numbers, found NaN or Inf")
    return values


def _pinhole(entry: Entry) -> np.ndarray:
    K = numbers(entry.where, entry.keys[0], entry.K, 9).reshape(3, 3)
    if K[0, 0] <= 0 or K[1, 1] <= 0 or abs(K[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 1e-6 or abs(K[2, 2] - 1) > 1e-6:
        raise UserError(
            f"{entry.where}: key '{entry.keys[0]}': expected [[fx,0,cx],[0,fy,cy],[0,0,1]] with fx, fy > 0, "
            f"found {K.tolist()}"
        )
    return K


def _rotation(entry: Entry) -> np.ndarray:
    R = numbers(entry.where, entry.keys[1], entry.R, 9).reshape(3, 3)
    error, determinant = abs(R @ R.T - np.eye(3)).max(), np.linalg.det(R)
    if error > 1e-3 or determinant < 0:
        raise UserError(
            f"{entry.where}: key '{entry.keys[1]}': expected a rotation (R R^T = 1, determinant 1), "
            f"found R R^T off by {error:.2g} and determinant {determinant:.3g}"
        )
    return R


def _distortion(entry: Entry) -> np.ndarray:
    values = numbers(entry.where, "distCoeff", entry.distortion, None)
    if len(values) > 5 and np.any(values[5:]):
        raise UserError(
            f"{entry.where}: key 'distCoeff': expected k1 k2 p1 p2 k3, found {len(values)} coefficients; "
            "undistort the images and masks first (cv2.undistort), then set distCoeff to zeros"
        )
    return np.pad(values, (0, 5))[:5]


def _size(entry: Entry) -> tuple[int, int] | None:
    if entry.size is None:
        return None
    width, height = numbers(entry.where, "imgSize", entry.size, 2)
    return int(width), int(height)


def _refuse_twins(entries: Sequence[Entry], calibration: Calibration) -> None:
    """Two cameras cannot stand in one place and look the same way: one of them was copied over the other."""
    places = np.concatenate([calibration.R.reshape(-1, 9), calibration.T], 1)
    for i, entry in enumerate(entries):
        near = np.flatnonzero(np.abs(places[:i] - places[i]).max(1, initial=0) < _SAME_PLACE)
        if len(near):
            twin = entries[int(near[0])].name
            raise UserError(f"{entry.where}: expected a place of its own, found R and T of camera '{twin}'")
