"""An .npz of SMPL or SMPL-X parameters with other poses; what is not changed keeps its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.body.parameters import hands_to_pca
from hgg_pyg.data.layouts.base import PoseTable, changed_rows
from hgg_pyg.data.smpl_params import read_arrays, read_smpl_params
from hgg_pyg.io.npz import with_entries

_BODY = 63  # numbers of SMPL-X's joints of the body, which stand before those of face and hands
_HAND = 45
_FACE = ("jaw_pose", "leye_pose", "reye_pose")
_HANDS = ("left_hand_pose", "right_hand_pose")


def rewrite_smpl_params(
    path: Path, body: BodyModel, poses: PoseTable, origin: Sequence[float] = (0.0, 0.0, 0.0), flat_hands: bool = True
) -> bytes:
    """The content of the file with other poses, in the file's own convention and number types.

    Hands that the file has as K components become the nearest that K components can show. Rows and keys whose values
    stay the same keep their bytes, and so do entries that are no parameters.

    Args:
        path: the file.
        body: as for `read_smpl_params`, like the last two.
        poses: a row for each of the file's.
        origin: what reading subtracted from transl.
        flat_hands: what components are added to.

    Raises:
        UserError: as `read_smpl_params`.
    """
    kind, read = read_smpl_params(path, body, origin, flat_hands)
    before = PoseTable(kind, poses.numbers, read)
    rows = changed_rows(before, poses)
    arrays = read_arrays(path)
    changed: dict[str, np.ndarray] = {}
    new, old = poses.poses, read
    if not torch.equal(new.betas, old.betas):
        betas = _floats(arrays["betas"])
        betas[..., : len(new.betas)] = new.betas.numpy()
        changed["betas"] = betas
    wanted = {"global_orient": new.global_orient, "body_pose": new.body_pose}
    had = {"global_orient": old.global_orient, "body_pose": old.body_pose}
    if kind == "smplx":
        wanted |= _parts(body, arrays, new.body_pose, flat_hands)
        had |= _parts(body, arrays, old.body_pose, flat_hands)
    for key, values in wanted.items():
        own = [row for row in rows if not torch.equal(values[row], had[key][row])]
        if own:
            base = arrays[key] if key in arrays else np.zeros(values.shape, np.float32)
            changed[key] = _floats(base)
            changed[key][own] = values[own].double().numpy()
    moved = [row for row in rows if not torch.equal(new.transl[row], old.transl[row])]
    if moved:
        transl = arrays["transl"].astype(np.float64) if any(origin) else _floats(arrays["transl"])
        transl[moved] = new.transl[moved].double().numpy() + np.asarray(origin)
        changed["transl"] = transl
    return with_entries(path, changed) if changed else path.read_bytes()


def _parts(
    body: BodyModel, arrays: dict[str, np.ndarray], pose: torch.Tensor, flat_hands: bool
) -> dict[str, torch.Tensor]:
    """SMPL-X's joints [F, 162] by the keys of the file."""
    sizes = [_BODY, *(3 for _ in _FACE), *(_HAND for _ in _HANDS)]
    keys = ("body_pose", *_FACE, *_HANDS)
    parts: dict[str, torch.Tensor] = dict(zip(keys, pose.double().split(sizes, 1), strict=True))
    hands = [parts[key] for key in _HANDS]
    for side, key in enumerate(_HANDS):
        count = arrays[key].shape[1] if key in arrays else _HAND
        if count < _HAND:
            parts[key] = hands_to_pca(body, hands[0], hands[1], count, flat_hands)[side]
    return parts


def _floats(array: np.ndarray) -> np.ndarray:
    """A copy in the array's own type, or in one that loses nothing of float32."""
    return array.astype(np.result_type(array, np.float32))
