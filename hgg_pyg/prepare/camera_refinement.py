"""Cameras that have moved a little since they were calibrated, put right by the person's landmarks.

Tripods are touched, screws turn, and half a degree is a dozen pixels. Where many landmarks of a person say the same of
a camera, it is the camera and not the landmarks: bundle adjustment of the cameras' places and directions and of the
points in space, with the calibration as the prior. Intrinsics stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import coo_matrix
from scipy.spatial.transform import Rotation

from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.rays import normalised
from hgg_pyg.prepare.triangulation import SURE, Triangulated

_MOST_POINTS = 1200  # more make it slower and no better
_ROUNDS = 100  # of the solver at most


@dataclass(frozen=True)
class CameraRefinementConfig:
    """How far cameras may be from where the calibration has them.

    Raises:
        ValueError: a number is out of its bounds.
    """

    turn_sigma: Annotated[float, Bounds(0, 90)] = 1.0
    """standard deviation of a camera's direction, degrees; 0 keeps the cameras as they are"""
    move_sigma: Annotated[float, Bounds(0, 100)] = 0.03
    """standard deviation of a camera's place, metres"""
    pixel_sigma: Annotated[float, Bounds(0, 1000, above=True)] = 5.0
    """of landmarks, pixels; those that are off by more count less"""
    least_gain: Annotated[float, Bounds(0, 1)] = 0.1
    """share by which the median error must fall, else the calibration is kept to the bit"""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True, eq=False)
class RefinedCameras:
    """Cameras put right, and by how much."""

    calibration: Calibration
    turned: np.ndarray  # [V] degrees
    moved: np.ndarray  # [V] metres
    before: float  # pixels, median error of the landmarks that count, with points of the given cameras
    after: float


def refine_cameras(found: Triangulated, calibration: Calibration, config: CameraRefinementConfig) -> RefinedCameras:
    r"""The most probable cameras and points in space.

    .. math:: \min_{\omega, t, X} \sum \rho(|x_{vn} - \pi(e^{\omega_v} R_v X_n + T_v + t_v)| f_v / \sigma)
        + \sum_v |\omega_v / \sigma_\omega|^2 + |t_v / \sigma_t|^2

    Args:
        found: F frames of J landmarks; those in at least two views are taken, outliers too, for the given cameras may
            be what makes them so.
        calibration: V cameras.
        config: how far they may be off.
    """
    views = len(calibration.names)
    kept = RefinedCameras(calibration, np.zeros(views), np.zeros(views), float("nan"), float("nan"))
    plane = normalised(found.points2d[..., :2], calibration)  # [F, V, J, 2]
    counts = np.isfinite(plane).all(-1) & (np.nan_to_num(found.points2d[..., 2]) >= SURE)
    known = np.isfinite(found.points3d).all(-1) & (counts.sum(1) >= 2)
    frames, joints = np.nonzero(known)
    if not config.turn_sigma or len(frames) < 20:
        return kept
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_POINTS)).round().astype(int)
    frames, joints = frames[chosen], joints[chosen]
    problem = _Problem(
        plane=plane[frames, :, joints],
        counts=counts[frames, :, joints],
        R=calibration.R,
        T=calibration.T,
        focal=calibration.K[:, 0, 0],
        config=config,
    )
    points = found.points3d[frames, joints]
    fixed = problem.solve(points, cameras=False)
    free = problem.solve(fixed[6 * views :].reshape(-1, 3), cameras=True)
    before, after = (float(np.median(problem.errors(found)[problem.counts])) for found in (fixed, free))
    if not after < (1 - config.least_gain) * before:
        return replace(kept, before=before, after=before)
    changes = free[: 6 * views].reshape(views, 6)
    R, T = problem.cameras(free)
    moved = -(R.transpose(0, 2, 1) @ T[:, :, None]) + calibration.R.transpose(0, 2, 1) @ calibration.T[:, :, None]
    return RefinedCameras(
        calibration=replace(calibration, R=R, T=T),
        turned=np.degrees(np.linalg.norm(changes[:, :3], axis=1)),
        moved=np.linalg.norm(moved[..., 0], axis=1),
        before=before,
        after=after,
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """N points in V views; unknowns are [V, 6] turns and shifts of cameras, then [N, 3] points."""

    plane: np.ndarray  # [N, V, 2] landmarks one metre before the camera
    counts: np.ndarray  # [N, V] bool
    R: np.ndarray  # [V, 3, 3]
    T: np.ndarray  # [V, 3]
    focal: np.ndarray  # [V] pixels
    config: CameraRefinementConfig

    def solve(self, points: np.ndarray, cameras: bool) -> np.ndarray:
        """The unknowns, from where the points are; cameras: whether these may change."""
        start = np.concatenate([np.zeros(6 * len(self.R)), points.ravel()])
        weights = np.concatenate([1 / np.tile(self._sigmas(cameras), len(self.R))])

        def residuals(unknowns: np.ndarray) -> np.ndarray:
            off = self._off(unknowns)[self.counts] / self.config.pixel_sigma
            # The square root of a robust cost with the sign of the error: outliers count linearly, the prior in full.
            length = np.linalg.norm(off, axis=1, keepdims=True)
            robust = off * np.sqrt(2 * (np.sqrt(1 + length**2) - 1)) / np.maximum(length, 1e-9)
            return np.concatenate([robust.ravel(), unknowns[: 6 * len(self.R)] * weights])

        found = least_squares(residuals, start, jac_sparsity=self._sparsity(), x_scale="jac", max_nfev=_ROUNDS)
        return found.x

    def cameras(self, unknowns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[V, 3, 3], [V, 3]"""
        changes = unknowns[: 6 * len(self.R)].reshape(-1, 6)
        return Rotation.from_rotvec(changes[:, :3]).as_matrix() @ self.R, self.T + changes[:, 3:]

    def errors(self, unknowns: np.ndarray) -> np.ndarray:
        """Pixels. [N, V]"""
        return np.linalg.norm(self._off(unknowns), axis=-1)

    def _off(self, unknowns: np.ndarray) -> np.ndarray:
        """[N, V, 2] pixels"""
        R, T = self.cameras(unknowns)
        seen = np.einsum("vab,nb->nva", R, unknowns[6 * len(R) :].reshape(-1, 3)) + T
        return (seen[..., :2] / np.maximum(seen[..., 2:], 1e-3) - self.plane) * self.focal[:, None]

    def _sigmas(self, cameras: bool) -> list[float]:
        turn, move = np.radians(self.config.turn_sigma), max(self.config.move_sigma, 1e-9)
        return [turn] * 3 + [move] * 3 if cameras else [1e-9] * 6

    def _sparsity(self) -> coo_matrix:
        """Which unknowns each residual depends on."""
        views = len(self.R)
        points, seen_by = np.nonzero(self.counts)
        rows = np.arange(2 * len(points)).reshape(-1, 2, 1)
        of_camera = np.broadcast_to(6 * seen_by[:, None, None] + np.arange(6), (len(points), 2, 6))
        of_point = np.broadcast_to(6 * views + 3 * points[:, None, None] + np.arange(3), (len(points), 2, 3))
        columns = np.concatenate([of_camera, of_point], 2)
        prior = np.arange(6 * views)
        rows = np.concatenate([np.broadcast_to(rows, columns.shape).ravel(), rows.size + prior])
        columns = np.concatenate([columns.ravel(), prior])
        shape = (2 * len(points) + 6 * views, 6 * views + 3 * len(self.plane))
        return coo_matrix((np.ones(len(rows)), (rows, columns)), shape)
