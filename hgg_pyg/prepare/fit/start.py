"""Where to begin: the trunk of the unposed body laid on the trunk's landmarks of each frame."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from hgg_pyg.types import UserError

_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "neck", "mid_hip")


def lay_trunk(
    rest: np.ndarray, points: np.ndarray, names: tuple[str, ...], root: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn and place of the root in every frame; where the trunk is not seen they are interpolated.

    Args:
        rest: [A, 3] landmarks' places on the unposed body, metres.
        points: [F, A, 3] the landmarks, NaN where they are not known.
        names: A
        root: [3] the root joint of the unposed body.

    Returns:
        [F, 3, 3] rotations; [F, 3] translations, of the smplx package's meaning.

    Raises:
        UserError: no frame shows three landmarks of the trunk.
    """
    trunk = [row for row, name in enumerate(names) if name in _TRUNK]
    seen = np.asarray(np.isfinite(points[:, trunk]).all(-1))
    frames = np.flatnonzero(seen.sum(1) >= 3)
    if not len(frames):
        raise UserError(
            "landmarks: expected a frame with three of the shoulders and hips in space, found none: no two cameras "
            "agree on them"
        )
    turns, places = [], []
    for frame in frames:
        rows = np.asarray(trunk)[seen[frame]]
        source, target = rest[rows], points[frame, rows]
        turn = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))[0]
        turns.append(turn)
        places.append(target.mean(0) - turn.apply(source.mean(0) - root) - root)
    every = np.clip(np.arange(len(points)), frames[0], frames[-1])
    places = np.stack([np.interp(every, frames, column) for column in np.stack(places).T], 1)
    if len(frames) == 1:
        return np.repeat(turns[0].as_matrix()[None], len(points), 0), places
    return Slerp(frames, Rotation.concatenate(turns))(every).as_matrix(), places
