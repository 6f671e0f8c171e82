"""SMPL parameters of a capture: an .npz with one row a frame, in the convention of the smplx package."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from hgg_pyg.types import BodyPose, UserError

_SMPLX_KEYS = ("jaw_pose", "left_hand_pose", "right_hand_pose", "expression", "leye_pose", "reye_pose")
_WIDTHS = {"global_orient": 3, "transl": 3, "body_pose": 69}


def read_smpl_params(path: Path) -> BodyPose:
    """Read and check betas (1, 10), global_orient (F, 3), transl (F, 3) and body_pose (F, 69); radians and metres.

    Raises:
        UserError: the file is missing or not an .npz, a key is missing or of the wrong shape, a value is not finite, or
            the parameters are SMPL-X's.
    """
    arrays = _read_npz(path)
    _refuse_smplx(path, arrays)
    betas = _entry(path, arrays, "betas")
    if betas.shape != (1, 10):
        raise UserError(f"{path}: key 'betas': expected shape (1, 10), found {betas.shape}")
    if not np.isfinite(betas).all():
        raise UserError(f"{path}: key 'betas': expected finite numbers, found NaN or Inf")
    rows = {key: _entry(path, arrays, key) for key in _WIDTHS}
    frames = len(rows["global_orient"]) if rows["global_orient"].ndim else 0
    for key, width in _WIDTHS.items():
        if rows[key].shape != (frames, width):
            count = "F" if key == "global_orient" else f"{frames}"
            raise UserError(f"{path}: key '{key}': expected shape ({count}, {width}), found {rows[key].shape}")
        bad = np.flatnonzero(~np.isfinite(rows[key]).all(1))
        if len(bad):
            raise UserError(f"{path}: key '{key}': expected finite numbers, found NaN or Inf first in row {bad[0]}")
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for key, value in rows.items()}
    return BodyPose(betas=torch.from_numpy(np.ascontiguousarray(betas[0], np.float32)), **tensors)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"{path}: missing; it holds the SMPL parameters: betas, global_orient, transl, body_pose")
    try:
        # From memory, so that np.load leaves no open file behind when the content is not what it should be.
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise UserError(f"{path}: expected an .npz archive, found a single array of shape {loaded.shape}")
        return {key: loaded[key] for key in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: expected an .npz archive of plain arrays ({error})") from error


def _refuse_smplx(path: Path, arrays: dict[str, np.ndarray]) -> None:
    found = [key for key in _SMPLX_KEYS if key in arrays]
    pose = arrays.get("body_pose")
    if pose is not None and pose.ndim == 2 and pose.shape[1] == 63:
        found.append("body_pose of 63 values")
    if found:
        raise UserError(
            f"{path}: this capture holds SMPL-X parameters ({', '.join(found)}); "
            "a 24-joint SMPL body needs body_pose (F, 69) and no face or hand keys"
        )


def _entry(path: Path, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    if key not in arrays:
        raise UserError(f"{path}: key '{key}' is missing; found {', '.join(sorted(arrays)) or 'no keys'}")
    value = arrays[key]
    if not (np.issubdtype(value.dtype, np.floating) or np.issubdtype(value.dtype, np.integer)):
        raise UserError(f"{path}: key '{key}': expected numbers, found {value.dtype}")
    return value
