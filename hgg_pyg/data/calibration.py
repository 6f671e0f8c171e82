"""Calibrated cameras: OpenCV, world to camera, x_cam = R x + T, metres, pixel centres at +0.5; each entry checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hgg_pyg.data.lens import Lens
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.types import Cameras, UserError

_SAME_PLACE = 1e-5  # metres, and radians: two cameras nearer than this are one camera written twice
# Bounds that no camera comes near, whatever unit its numbers are in by mistake, so that nothing overflows behind them.
_FOCAL = (0.1, 1e7)  # pixels: K divided by the size of the image is above, a telescope below
_CENTRE = 1e7  # pixels
_FARTHEST = 1e9  # from the origin: ten times the way around the Earth in metres
_BENT = 1e6  # coefficients of distortion: k3 of a telephoto lens may have thousands
_LONGEST_SIDE = 10**6  # pixels
# Where float32 loses more than a millimetre, and far from where the cameras are among themselves: coordinates of a map.
_ON_A_MAP = 10_000  # metres
_OFF_BY_SPREADS = 100


@dataclass(frozen=True)
class Calibration:
    """V checked cameras."""

    names: tuple[str, ...]
    K: np.ndarray  # [V, 3, 3] pixels of the calibrated size
    R: np.ndarray  # [V, 3, 3]
    T: np.ndarray  # [V, 3] metres
    distortion: np.ndarray  # [V, 5] k1 k2 p1 p2 k3
    sizes: tuple[tuple[int, int] | None, ...]  # (width, height) that K is for; None: the images' own
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """What was subtracted from the files' world, metres: zero but in coordinates of a map; see `make_calibration`."""

    @property
    def viewmats(self) -> np.ndarray:
        """World to camera. [V, 4, 4] metres"""
        viewmats = np.tile(np.eye(4), (len(self.names), 1, 1))
        viewmats[:, :3, :3], viewmats[:, :3, 3] = self.R, self.T
        return viewmats

    def of_files(self, camera: int) -> tuple[np.ndarray, np.ndarray]:
        """R [3, 3] and T [3] of a camera (by position) in the world of the files. Metres"""
        return self.R[camera], self.T[camera] - self.R[camera] @ np.asarray(self.origin)

    def placed(self, viewmats: np.ndarray) -> Calibration:
        """The same lenses in other places. viewmats: [V, 4, 4] world to camera"""
        return replace(self, R=viewmats[:, :3, :3], T=viewmats[:, :3, 3])

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
            origin=self.origin,
        )

    def intrinsics(self, size: tuple[int, int]) -> np.ndarray:
        """K for images of this (width, height). [V, 3, 3] float64

        With pixel centres at +0.5 an image's edges are at 0 and its size, so intrinsics scale like the size.
        """
        scales = [np.divide(size, stated or size) for stated in self.sizes]
        return np.stack([np.diag([*scale, 1.0]) @ K for scale, K in zip(scales, self.K, strict=True)])

    def cameras(self, size: tuple[int, int]) -> Cameras:
        """The cameras for images of this (width, height), without distortion."""
        return Cameras(
            viewmats=torch.tensor(self.viewmats, dtype=torch.float32),
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

    Cameras in coordinates of a map, thousands of kilometres from the origin, are brought near it before anything
    becomes float32, which would lose decimetres there: by an `origin` in whole metres that is subtracted from the
    world. Whoever reads places in the same world, as of poses, subtracts it as well. It is zero for all others.

    Raises:
        UserError: a name that is no folder within the subject's, a value of the wrong size, not finite or of no camera,
            K not a pinhole matrix, R not a rotation, more than five coefficients of distortion, two cameras in one
            place.
    """
    for entry in entries:
        check_camera_name(entry.where, entry.name)
    entries = sorted(entries, key=lambda entry: entry.name)
    R = np.stack([_rotation(entry) for entry in entries])
    T = np.stack([_translation(entry) for entry in entries])
    origin = _origin(R, T)
    calibration = Calibration(
        names=tuple(entry.name for entry in entries),
        K=np.stack([_pinhole(entry) for entry in entries]),
        R=R,
        T=T + R @ origin if origin.any() else T,
        distortion=np.stack([_distortion(entry) for entry in entries]),
        sizes=tuple(_size(entry) for entry in entries),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
    )
    _refuse_twins(entries, calibration)
    return calibration


def _origin(R: np.ndarray, T: np.ndarray) -> np.ndarray:
    """The middle of cameras that stand far from the origin but near each other, else zero. [3] whole metres"""
    centers = -(R.transpose(0, 2, 1) @ T[:, :, None])[..., 0]
    middle = centers.mean(0)
    away, spread = np.linalg.norm(middle), np.linalg.norm(centers - middle, axis=1).max()
    # Cameras in millimetres by mistake stand thousands of them from the origin, but as far from each other.
    return middle.round() if away > max(_ON_A_MAP, _OFF_BY_SPREADS * spread) else np.zeros(3)


def check_camera_name(where: str, name: str) -> None:
    """A camera's name is a path: what is read or written under it must lie within the subject's folder.

    Raises:
        UserError: it is empty, absolute, leads out by `..`, or is no name that a file can have.
    """
    try:
        possible = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # half a character, which JSON can hold and no file is called by
        possible = False
    if not possible or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise UserError(
            f"{where}: expected a camera's name that can be a folder within the subject's, found {name[:60]!r}"
        )


def read_calibration(path: Path) -> Calibration:
    """Read {camera: {K, R, T, imgSize?, distCoeff?}} from a JSON file.

    Raises:
        UserError: as `read_entries` and `make_calibration`.
    """
    return make_calibration(read_entries(path))


def read_entries(path: Path) -> list[Entry]:
    """The cameras of such a JSON file, not checked yet.

    Raises:
        UserError: no camera, a key missing, or as `read_json`.
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
    return entries


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
        if np.asarray(value).dtype.kind in "bO":  # true would be 1, and null NaN
            raise TypeError
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
    focal, centre = K[[0, 1], [0, 1]], K[:2, 2]
    if focal.min() < _FOCAL[0] or focal.max() > _FOCAL[1] or abs(centre).max() > _CENTRE:
        raise UserError(
            f"{entry.where}: key '{entry.keys[0]}': expected pixels, focal lengths from {_FOCAL[0]:g} to "
            f"{_FOCAL[1]:g} and a centre within {_CENTRE:g}, found {K.tolist()}"
        )
    return K


def _rotation(entry: Entry) -> np.ndarray:
    R = numbers(entry.where, entry.keys[1], entry.R, 9).reshape(3, 3)
    if abs(R).max() > 2:
        raise UserError(
            f"{entry.where}: key '{entry.keys[1]}': expected a rotation, numbers from -1 to 1, found {R.tolist()}"
        )
    error, determinant = abs(R @ R.T - np.eye(3)).max(), np.linalg.det(R)
    if error > 1e-3 or determinant < 0:
        raise UserError(
            f"{entry.where}: key '{entry.keys[1]}': expected a rotation (R R^T = 1, determinant 1), "
            f"found R R^T off by {error:.2g} and determinant {determinant:.3g}"
        )
    return R


def _translation(entry: Entry) -> np.ndarray:
    T = numbers(entry.where, entry.keys[2], entry.T, 3)
    if abs(T).max() > _FARTHEST:
        raise UserError(f"{entry.where}: key '{entry.keys[2]}': expected metres, found {T.tolist()}")
    return T


def _distortion(entry: Entry) -> np.ndarray:
    values = numbers(entry.where, "distCoeff", entry.distortion, None)
    if 0 < len(values) < 4:
        expected = "expected 0, 4 or 5 numbers, k1 k2 p1 p2 k3"
        raise UserError(f"{entry.where}: key 'distCoeff': {expected}, found {values.tolist()}")
    if len(values) > 5 and np.any(values[5:]):
        raise UserError(
            f"{entry.where}: key 'distCoeff': expected k1 k2 p1 p2 k3, found {len(values)} coefficients; "
            "undistort the images and masks first (cv2.undistort), then set distCoeff to zeros"
        )
    if abs(values).max(initial=0) > _BENT:
        raise UserError(
            f"{entry.where}: key 'distCoeff': expected numbers of a lens, at most {_BENT:g}, found {values.tolist()}"
        )
    return np.pad(values, (0, 5))[:5]


def _size(entry: Entry) -> tuple[int, int] | None:
    if entry.size is None:
        return None
    width, height = numbers(entry.where, "imgSize", entry.size, 2).tolist()
    if not all(side.is_integer() and 1 <= side <= _LONGEST_SIDE for side in (width, height)):
        raise UserError(
            f"{entry.where}: key 'imgSize': expected width and height of the images in whole pixels, "
            f"found {width:g}, {height:g}"
        )
    return int(width), int(height)


def _refuse_twins(entries: Sequence[Entry], calibration: Calibration) -> None:
    """Two cameras cannot stand in one place and look the same way: one of them was copied over the other."""
    places = np.concatenate([calibration.R.reshape(-1, 9), calibration.T], 1)
    for i, entry in enumerate(entries):
        near = np.flatnonzero(np.abs(places[:i] - places[i]).max(1, initial=0) < _SAME_PLACE)
        if len(near):
            twin = entries[int(near[0])].name
            raise UserError(f"{entry.where}: expected a place of its own, found R and T of camera '{twin}'")
