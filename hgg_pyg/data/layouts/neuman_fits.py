"""NeuMan's bodies in its world, as its own programme and as HUGS wrote them: read, and written back."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hgg_pyg.data.calibration import numbers, require
from hgg_pyg.data.layouts.base import shaped_like
from hgg_pyg.io.joblib_files import load_joblib
from hgg_pyg.io.npz import load_npz, with_entries, write_object
from hgg_pyg.io.pickles import NUMPY, load_npy
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

ALIGNMENTS = "alignments.npy"
HUGS = "4d_humans/smpl_optimized_aligned_scale.npz"
_FITS = ("smpl_output_optimized.pkl", "smpl_output_romp.pkl")
_POSE, _ROOT = 72, 3
_NOT_A_ROTATION = 1e-3
_HUGS_SHAPES = {"global_orient": 3, "body_pose": 69, "transl": 3, "betas": None, "scale": None}


@dataclass(frozen=True)
class WorldFits:
    """Bodies of F frames: x_world = scale * rotation LBS(pose, betas) + shift, in the world's unit."""

    numbers: tuple[int, ...]  # F
    pose: np.ndarray  # [F, 72] axis-angle, the root's first, which turns about the pelvis
    betas: np.ndarray  # [F, B]
    rotation: np.ndarray  # [F, 3, 3]
    scale: np.ndarray  # [F] of the world's units a metre
    shift: np.ndarray  # [F, 3]


class FitFiles(Protocol):
    """The files that hold a subject's bodies."""

    def read(self) -> WorldFits:
        """All bodies of frames that have one.

        Raises:
            UserError: a file is missing, damaged, of another kind or shape.
        """
        ...

    def rewritten(self, fits: WorldFits) -> dict[str, bytes]:
        """The files, by their path in the folder, with other bodies of some frames; scale and rotation stay."""
        ...


def fit_files(folder: Path, names: dict[int, str]) -> FitFiles:
    """HUGS's file where there is one, as in HUGS itself, else NeuMan's two.

    Args:
        folder: the subject's.
        names: of the images that COLMAP placed, by frame number.
    """
    return _Hugs(folder, names) if (folder / HUGS).is_file() else _Neuman(folder, names)


@dataclass(frozen=True)
class _Neuman:
    """`smpl_output_optimized.pkl`, else `_romp`, a row for each frame number, and `alignments.npy` by images' names."""

    folder: Path
    names: dict[int, str]

    def read(self) -> WorldFits:
        _, person = self._person()
        path = self._path
        pose, betas = (self._rows(person, key, width) for key, width in (("pose", _POSE), ("betas", None)))
        if len(pose) != len(betas):
            raise UserError(f"{path}: key 'betas': expected {len(pose)} rows like 'pose', found {len(betas)}")
        alignments = self._alignments()
        kept = [n for n, name in self.names.items() if n < len(pose) and name in alignments]
        if not kept:
            raise UserError(
                f"{path}: expected a row and an alignment for images such as {next(iter(self.names.values()))}, "
                f"found {len(pose)} rows, and alignments of {shown(', '.join(map(str, alignments)), 40) or 'none'}"
            )
        where = str(self.folder / ALIGNMENTS)
        linear, shift = zip(*(self._parts(where, self.names[n], alignments) for n in kept), strict=True)
        scale = np.cbrt(np.linalg.det(np.stack(linear)))
        for number, matrix, size in zip(kept, linear, scale, strict=True):
            if not size > 0 or abs(matrix @ matrix.T / size**2 - np.eye(3)).max() > _NOT_A_ROTATION:
                raise UserError(
                    f"{where}: key '{self.names[number]}': expected a rotation times a scale, found {matrix.tolist()}"
                )
        return WorldFits(
            tuple(kept), pose[kept], betas[kept], np.stack(linear) / scale[:, None, None], scale, np.stack(shift)
        )

    def rewritten(self, fits: WorldFits) -> dict[str, bytes]:
        content, person = self._person()
        alignments = self._alignments()
        for row, number in enumerate(fits.numbers):
            for key, values in (("pose", fits.pose[row]), ("betas", fits.betas[row])):
                old = np.asarray(person[key][number])
                whole = np.concatenate([values, old.ravel()[len(values) :]])
                new = shaped_like(whole, old)
                if isinstance(person[key], np.ndarray):
                    person[key] = person[key].astype(np.result_type(person[key], new))
                person[key][number] = new
            name = self.names[number]
            matrix = np.array(alignments[name], np.result_type(alignments[name], np.float32))
            matrix[3, :3] = fits.shift[row]
            alignments[name] = matrix
        # joblib.load reads pickles, too
        return {self._path.name: pickle.dumps(content, protocol=2), ALIGNMENTS: write_object(alignments)}

    @property
    def _path(self) -> Path:
        found = [self.folder / name for name in _FITS if (self.folder / name).is_file()]
        others = sorted(self.folder.glob("smpl_output_*.pkl"))
        return next(iter([*found, *others]), self.folder / _FITS[0])

    def _person(self) -> tuple[dict[Any, Any], dict[str, Any]]:
        """The file's content, and in it the only person's."""
        content = load_joblib(self._path, "a file of SMPL's poses that joblib wrote")
        if not isinstance(content, dict) or len(content) != 1 or not isinstance(next(iter(content.values())), dict):
            count = f" with {len(content)} entries" if isinstance(content, dict) else ""
            raise UserError(f"{self._path}: expected {{1: {{pose, betas}}}}, found {type(content).__name__}{count}")
        return content, next(iter(content.values()))

    def _rows(self, person: dict[str, Any], key: str, width: int | None) -> np.ndarray:
        value = require(str(self._path), person, key)
        try:
            array = np.asarray(value, np.float64)
            array = array.reshape(len(array), -1)
        except (TypeError, ValueError):
            raise UserError(f"{self._path}: key '{key}': expected a row of numbers for each frame") from None
        if array.shape[1] != (width or array.shape[1]):
            raise UserError(f"{self._path}: key '{key}': expected shape (F, {width}), found {array.shape}")
        return array

    def _alignments(self) -> dict[str, Any]:
        path = self.folder / ALIGNMENTS
        expected = "a dictionary of a 4x3 matrix for each image, pickled by numpy"
        array = load_npy(path, NUMPY, expected)
        content = array.item() if array.ndim == 0 else array
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected {expected}, found an array of shape {array.shape}")
        return content

    def _parts(self, where: str, name: str, alignments: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Of x_world = L x + t, what stands as the rows [x 1] [L^T; t] = x_world in the file."""
        value = np.asarray(alignments[name])
        if value.shape not in ((4, 3), (4, 4)):
            raise UserError(f"{where}: key '{name}': expected a 4x3 matrix, found shape {value.shape}")
        matrix = numbers(where, name, value[:, :3], 12).reshape(4, 3)
        return matrix[:3].T, matrix[3]


@dataclass(frozen=True)
class _Hugs:
    """`4d_humans/smpl_optimized_aligned_scale.npz`, a row for each image that COLMAP placed, in the order of names."""

    folder: Path
    names: dict[int, str]

    def read(self) -> WorldFits:
        path, arrays = self.folder / HUGS, self._arrays()
        order, parts = sorted(self.names, key=lambda number: self.names[number]), {}
        for key, width in _HUGS_SHAPES.items():
            value = arrays[key].reshape(len(arrays[key]), -1) if arrays[key].ndim else arrays[key]
            if value.shape[:1] != (len(order),) or value.shape[1] != (width or value.shape[1]):
                raise UserError(
                    f"{path}: key '{key}': expected shape ({len(order)}, {width or '...'}), a row for each image in "
                    f"sparse/images.txt, found {arrays[key].shape}"
                )
            parts[key] = value.astype(np.float64)
        scale = parts["scale"][:, 0]
        if not (scale > 0).all():
            raise UserError(f"{path}: key 'scale': expected numbers above zero, found {scale.min():.3g}")
        pose = np.concatenate([parts["global_orient"], parts["body_pose"]], 1)
        rotation = np.tile(np.eye(3), (len(order), 1, 1))
        return WorldFits(tuple(order), pose, parts["betas"], rotation, scale, parts["transl"])

    def rewritten(self, fits: WorldFits) -> dict[str, bytes]:
        arrays = self._arrays()
        place = {number: row for row, number in enumerate(sorted(self.names, key=lambda n: self.names[n]))}
        rows = [place[number] for number in fits.numbers]
        new = {"global_orient": fits.pose[:, :_ROOT], "body_pose": fits.pose[:, _ROOT:], "transl": fits.shift}
        changed = {}
        for key, values in {**new, "betas": fits.betas}.items():
            flat = arrays[key].reshape(len(arrays[key]), -1).astype(np.result_type(arrays[key], np.float32))
            flat[rows, : values.shape[1]] = values
            changed[key] = flat.reshape(arrays[key].shape)
        return {HUGS: with_entries(self.folder / HUGS, changed)}

    def _arrays(self) -> dict[str, np.ndarray]:
        path, keys = self.folder / HUGS, tuple(_HUGS_SHAPES)
        arrays = load_npz(path, keys, frozenset(), "an .npz archive of plain arrays", keys)
        for key, value in arrays.items():
            if value.dtype.kind not in "iuf":
                raise UserError(f"{path}: key '{key}': expected numbers, found {value.dtype}")
        return arrays


def still_camera(fits: WorldFits, turns: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What brings LBS(pose, betas) into the frame of a camera, in metres: x_cam = Q LBS + u.

    What a camera sees does not change where its world is scaled about it, so that each frame's own scale goes.

    Args:
        fits: F bodies.
        turns, shifts: [F, 3, 3] and [F, 3], from the world to the camera of each frame, in the world's unit.

    Returns:
        Q [F, 3, 3], u [F, 3].
    """
    seen = np.einsum("fab,fb->fa", turns, fits.shift) + shifts
    return turns @ fits.rotation, seen / fits.scale[:, None]


def world_shift(u: np.ndarray, fits: WorldFits, turns: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """The way back of `still_camera` from u [F, 3] to a body's shift in the world. [F, 3]"""
    return np.einsum("fba,fb->fa", turns, u * fits.scale[:, None] - shifts)


def some(fits: WorldFits, rows: Sequence[int]) -> WorldFits:
    """Some of the frames, by position."""
    chosen = list(rows)
    return WorldFits(
        tuple(fits.numbers[row] for row in chosen),
        *(getattr(fits, key)[chosen] for key in ("pose", "betas", "rotation", "scale", "shift")),
    )
