r"""Bundle adjustment: cameras and points moved together until landmarks lie where points are seen.

.. math:: \min_{\omega, t, X} \sum_{vn} w_{vn} \rho(|x_{vn} - \pi(e^{\omega_v} R_v X_n + T_v + t_v)| / s_v)
    + \frac{1}{2} \sum_v |(\omega_v, t_v) / \sigma_v|^2

with :math:`\rho(a) = \sqrt{1 + a^2} - 1`, half the square near zero and linear far away (B. Triggs et al., Bundle
adjustment: a modern synthesis, 2000). The lenses stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import coo_matrix
from scipy.spatial.transform import Rotation

FIXED, FREE = 1e-9, np.inf
"""Standard deviations of what does not change, and of what may change in any way"""
_ROUNDS = 100  # of the solver at most
_NEAREST = 1e-3  # before a camera


@dataclass(frozen=True, eq=False)
class Bundle:
    """V cameras, N points, and the landmarks by which the cameras see them."""

    plane: np.ndarray  # [N, V, 2] landmarks one unit of length before the camera, without its lens; NaN where missing
    R: np.ndarray  # [V, 3, 3]
    T: np.ndarray  # [V, 3]
    points: np.ndarray  # [N, 3]

    def errors(self) -> np.ndarray:
        """How far landmarks are from points, on the plane. [N, V], NaN where missing"""
        return np.linalg.norm(_off(self, self.R, self.T, self.points), axis=-1)


def adjusted(bundle: Bundle, soft: np.ndarray, spread: np.ndarray, weights: np.ndarray | None = None) -> Bundle:
    """The most probable cameras and points.

    Args:
        bundle: near the solution; each point is seen by two cameras or more.
        soft: [V] s, on the plane, from where on errors count less than their square.
        spread: [V, 6] standard deviations of each camera's turn, radians, and shift: `FIXED`, `FREE` or between.
        weights: [N, V] w; by default 1.
    """
    views, there = len(bundle.R), np.asarray(np.isfinite(bundle.plane).all(-1))
    share = np.ones(there.shape) if weights is None else weights
    share, scale = np.sqrt(share[there])[:, None], np.broadcast_to(soft, there.shape)[there][:, None]
    prior = (1 / spread).ravel()

    def moved(unknowns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        changes = unknowns[: 6 * views].reshape(-1, 6)
        turns = Rotation.from_rotvec(changes[:, :3]).as_matrix()
        return turns @ bundle.R, bundle.T + changes[:, 3:], unknowns[6 * views :].reshape(-1, 3)

    def residuals(unknowns: np.ndarray) -> np.ndarray:
        off = _off(bundle, *moved(unknowns))[there] / scale
        # The square root of the robust cost with the sign of the error, so that the prior counts in full
        length = np.linalg.norm(off, axis=1, keepdims=True)
        robust = off * np.sqrt(2 * (np.sqrt(1 + length**2) - 1)) / np.maximum(length, 1e-9) * share
        return np.concatenate([robust.ravel(), unknowns[: 6 * views] * prior])

    start = np.concatenate([np.zeros(6 * views), bundle.points.ravel()])
    found = least_squares(residuals, start, jac_sparsity=_sparsity(there), x_scale="jac", max_nfev=_ROUNDS)
    return Bundle(bundle.plane, *moved(found.x))


def _off(bundle: Bundle, R: np.ndarray, T: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N, V, 2]"""
    seen = np.einsum("vab,nb->nva", R, points) + T
    return seen[..., :2] / np.maximum(seen[..., 2:], _NEAREST) - bundle.plane


def _sparsity(there: np.ndarray) -> coo_matrix:
    """Which unknowns each residual depends on: two rows a landmark, then the prior's; six columns a camera, three a
    point."""
    count, views = there.shape
    points, seen_by = np.nonzero(there)
    rows = np.arange(2 * len(points)).reshape(-1, 2, 1)
    of_camera = np.broadcast_to(6 * seen_by[:, None, None] + np.arange(6), (len(points), 2, 6))
    of_point = np.broadcast_to(6 * views + 3 * points[:, None, None] + np.arange(3), (len(points), 2, 3))
    columns, prior = np.concatenate([of_camera, of_point], 2), np.arange(6 * views)
    rows = np.concatenate([np.broadcast_to(rows, columns.shape).ravel(), rows.size + prior])
    columns = np.concatenate([columns.ravel(), prior])
    shape = (2 * len(points) + 6 * views, 6 * views + 3 * count)
    return coo_matrix((np.ones(len(rows)), (rows, columns)), shape)
