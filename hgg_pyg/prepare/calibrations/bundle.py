"""Bundle adjustment: cameras and points moved together until landmarks lie where points are seen.

B. Triggs et al., Bundle adjustment: a modern synthesis, 2000. The lenses stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.rays import normalised

_LOSS = 0.003  # of the focal length, 5 pixels of 1700: where errors begin to count less than their square
_STEPS = 60


def adjusted(points2d: np.ndarray, calibration: Calibration, points: np.ndarray) -> Calibration:
    """Cameras of the least robust error. The first camera stays; how large everything is, is free.

    Args:
        points2d: [N, V, 3] x and y in pixels, confidence; NaN where missing.
        calibration: V cameras, near the solution.
        points: [N, 3], near the solution; NaN where not known.
    """
    plane = normalised(points2d[:, :, None, :2], calibration)[:, :, 0]
    known = np.isfinite(points).all(1) & (np.isfinite(plane).all(-1).sum(1) >= 2)
    plane, points, points2d = plane[known], points[known], points2d[known]
    point, view = np.nonzero(np.isfinite(plane).all(-1))
    seen = plane[point, view]
    weight = np.sqrt(np.clip(np.nan_to_num(points2d[point, view, 2]), 0.05, 1))[:, None]
    cameras = len(calibration.names)
    split = 6 * (cameras - 1)
    unit = float(np.median(np.linalg.norm(points - points.mean(0), axis=1)))

    def moved(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moves = np.concatenate([np.zeros((1, 6)), values[:split].reshape(-1, 6)])
        return Rotation.from_rotvec(moves[:, :3]).as_matrix() @ calibration.R, calibration.T + unit * moves[:, 3:]

    def residuals(values: np.ndarray) -> np.ndarray:
        R, T = moved(values)
        inside = np.einsum("nab,nb->na", R[view], values[split:].reshape(-1, 3)[point]) + T[view]
        depth = np.maximum(inside[:, 2:], 1e-3 * unit)
        return ((inside[:, :2] / depth - seen) * weight).reshape(-1)

    found = least_squares(
        residuals,
        np.concatenate([np.zeros(split), points.reshape(-1)]),
        jac_sparsity=_sparsity(point, view, cameras, len(points)),
        x_scale="jac",
        loss="soft_l1",
        f_scale=_LOSS,
        max_nfev=_STEPS,
        ftol=1e-6,
        xtol=1e-8,
    )
    R, T = moved(found.x)
    return replace(calibration, R=R, T=T)


def _sparsity(point: np.ndarray, view: np.ndarray, cameras: int, points: int) -> csr_matrix:
    """Which residuals depend on which values: two rows a landmark; six columns a camera, three a point."""
    number, later = np.arange(len(point)), view > 0
    rows = np.concatenate([np.repeat(number[later], 6), np.repeat(number, 3)])
    of_cameras = 6 * (view[later, None] - 1) + np.arange(6)
    of_points = 6 * (cameras - 1) + 3 * point[:, None] + np.arange(3)
    columns = np.tile(np.concatenate([of_cameras.reshape(-1), of_points.reshape(-1)]), 2)
    rows = np.concatenate([2 * rows, 2 * rows + 1])
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(2 * len(point), 6 * (cameras - 1) + 3 * points))
