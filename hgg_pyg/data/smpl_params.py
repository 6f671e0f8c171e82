"""SMPL and SMPL-X parameters of a capture: an .npz with one row per frame, in the convention of the smplx package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.body.parameters import hands_from_pca, smplx_body_pose
from hgg_pyg.data.layouts.base import one_shape
from hgg_pyg.io.npz import load_npz
from hgg_pyg.types import BodyPose, UserError

_SMPL = {"global_orient": 3, "transl": 3, "body_pose": 69}
_SMPLX = {"global_orient": 3, "transl": 3, "body_pose": 63}
_REQUIRED = ("betas", *_SMPL)
_FACE = ("jaw_pose", "leye_pose", "reye_pose")
_HANDS = ("left_hand_pose", "right_hand_pose")
_ONLY_SMPLX = (*_FACE, *_HANDS, "expression")


def params_kind(path: Path) -> str:
    """Which body the parameters are for, "smpl" or "smplx", by the keys and the width of body_pose.

    Raises:
        UserError: as `read_smpl_params` for a file that cannot be read.
    """
    return _kind(path, read_arrays(path))


def read_smpl_params(
    path: Path, body: BodyModel, origin: Sequence[float] = (0.0, 0.0, 0.0), flat_hands: bool = True
) -> tuple[str, BodyPose]:
    """Read and check the parameters of F frames; radians and metres.

    Betas are (1, B), (B,), or (F, B), of which the median is taken. SMPL has global_orient (F, 3), transl (F, 3) and
    body_pose (F, 69). SMPL-X has body_pose (F, 63) and may have jaw_pose, leye_pose, reye_pose (F, 3), expression
    (F, E), left_hand_pose and right_hand_pose (F, 45), or (F, K) for K components of the body's hands. Rows that are
    not finite are kept: they are the caller's to leave out.

    Args:
        path: the file.
        body: whose hand components are meant, and that is to take the shape.
        origin: what is subtracted from transl, before it becomes float32; see `make_calibration`.
        flat_hands: components are added to flat hands, else to the body's mean hands.

    Returns:
        "smpl" or "smplx", and the poses.

    Raises:
        UserError: the file is missing or not an .npz, a key is missing or of the wrong shape, as `one_shape`.
    """
    arrays = read_arrays(path)
    kind = _kind(path, arrays)
    widths = dict(_SMPL if kind == "smpl" else _SMPLX)
    frames = _rows(path, "global_orient", _entry(path, arrays, "global_orient"))
    betas = _entry(path, arrays, "betas")
    if betas.ndim not in (1, 2) or not betas.shape[-1] or (betas.ndim == 2 and len(betas) not in (1, frames)):
        raise UserError(
            f"{path}: key 'betas': expected shape (1, 10), (10,) or ({frames}, 10), for all frames or for each, "
            f"found {betas.shape}"
        )
    shape = one_shape(torch.from_numpy(np.atleast_2d(betas).astype(np.float32)), path, path.parent, body)
    if "transl" in arrays and arrays["transl"].shape == (frames, 3):
        arrays["transl"] = _entry(path, arrays, "transl") - np.asarray(origin)
    parts = {key: _part(path, arrays, key, frames, width) for key, width in widths.items()}
    expression = None
    if kind == "smplx":
        parts["body_pose"] = _whole_pose(path, arrays, frames, parts["body_pose"], body, flat_hands)
        expression = _part(path, arrays, "expression", frames, None) if "expression" in arrays else None
    return kind, BodyPose(betas=shape, expression=expression, **parts)


def _whole_pose(
    path: Path, arrays: dict[str, np.ndarray], frames: int, pose: Tensor, body: BodyModel, flat_hands: bool
) -> Tensor:
    """All joints of SMPL-X but the root. [F, 162]"""
    face = [_part(path, arrays, key, frames, 3) if key in arrays else None for key in _FACE]
    hands = [_part(path, arrays, key, frames, None) if key in arrays else None for key in _HANDS]
    if hands[0] is not None and hands[1] is not None and hands[0].shape[1] < 45:
        if body.hands is None:
            raise UserError(f"{path}: key '{_HANDS[0]}': its components are the body's, and this body has no hands")
        hands = list(hands_from_pca(body, hands[0], hands[1], flat_hands))
    for key, value in zip(_HANDS, hands, strict=True):
        if value is not None and value.shape[1] != 45:
            raise UserError(f"{path}: key '{key}': expected ({frames}, 45), or fewer components, found {value.shape}")
    return smplx_body_pose(pose, *face, *hands)


def _kind(path: Path, arrays: dict[str, np.ndarray]) -> str:
    width = arrays["body_pose"].shape[1:]
    key = next((key for key in _ONLY_SMPLX if key in arrays), None)
    if key and width == (_SMPL["body_pose"],):
        raise UserError(
            f"{path}: key '{key}': expected only beside body_pose (F, 63) of SMPL-X, found it beside (F, 69) of SMPL; "
            "take it out of the file where the poses are SMPL's"
        )
    return "smplx" if key or width == (_SMPLX["body_pose"],) else "smpl"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The parameters as the file has them, by key.

    Raises:
        UserError: the file is missing or not an .npz, or lacks a key.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; it holds the body's parameters: betas, global_orient, transl, body_pose")
    return load_npz(path, (*_REQUIRED, *_ONLY_SMPLX), frozenset(), "an .npz archive of plain arrays", _REQUIRED)


def _rows(path: Path, key: str, value: np.ndarray) -> int:
    if value.ndim != 2:
        raise UserError(f"{path}: key '{key}': expected shape (F, 3), found {value.shape}")
    return len(value)


def _part(path: Path, arrays: dict[str, np.ndarray], key: str, frames: int, width: int | None) -> Tensor:
    value = _entry(path, arrays, key)
    expected = width or (value.shape[1] if value.ndim == 2 else 1)
    if value.shape != (frames, expected):
        raise UserError(f"{path}: key '{key}': expected shape ({frames}, {expected}), found {value.shape}")
    return torch.from_numpy(np.ascontiguousarray(value, np.float32))


def _entry(path: Path, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    value = arrays[key]
    if not (np.issubdtype(value.dtype, np.floating) or np.issubdtype(value.dtype, np.integer)):
        raise UserError(f"{path}: key '{key}': expected numbers, found {value.dtype}")
    return value
