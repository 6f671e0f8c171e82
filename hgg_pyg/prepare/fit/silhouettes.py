"""The body's silhouette by the differentiable rasteriser, beside the masks of the same squares around the person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.body.blending import blend
from hgg_pyg.body.skin_points import skin_points
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.extra import opencv
from hgg_pyg.prepare.fit.figure import Posed
from hgg_pyg.render import render
from hgg_pyg.types import Cameras, Gaussians

_POINTS = 3000  # on the skin, evenly spread: every 2 cm
_BLUR = 0.1  # pixels^2
_MARGIN = 1.2  # side of the square over that of the person

MaskReader = Callable[[int, int], np.ndarray | None]


@dataclass(frozen=True)
class Squares:
    """P images cut to squares around the person, without distortion."""

    frames: Tensor  # [P] int64
    viewmats: Tensor  # [P, 4, 4]
    Ks: Tensor  # [P, 3, 3]
    masks: Tensor  # [P, S, S] in [0, 1]
    scale: Tensor  # [P] metres per pixel at the person

    @cached_property
    def moments(self) -> int:
        """Frames of which there is an image."""
        return len(self.frames.unique())


def cut_squares(masks: MaskReader, calibration: Calibration, middles: np.ndarray, side: int) -> Squares | None:
    """Read the masks, undistort them and cut squares around what is in them.

    Args:
        masks: of frame and camera by position, [H, W] uint8 as filed; None where there is none.
        calibration: V cameras; K in pixels of the filed images.
        middles: [F, 3] about where the person is, metres.
        side: S, pixels.

    Returns:
        None where no mask shows anything.
    """
    Ks, found = calibration.K, []
    for view in range(len(calibration.names)):
        viewmat = np.eye(4)
        viewmat[:3, :3], viewmat[:3, 3] = calibration.R[view], calibration.T[view]
        for frame, middle in enumerate(middles):
            mask = masks(frame, view)
            depth = float(viewmat[2, :3] @ middle + viewmat[2, 3])
            if mask is None or depth <= 0:
                continue
            rows, columns = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
            if not len(rows):
                continue
            wide = _MARGIN * max(np.ptp(rows), np.ptp(columns), 8)
            corner = np.array([columns[0] + columns[-1] + 1, rows[0] + rows[-1] + 1]) / 2 - wide / 2
            zoom = side / wide
            K = Ks[view].copy()
            K[:2] *= zoom
            K[:2, 2] -= corner * zoom
            found.append(
                (frame, viewmat, K, _cut(mask, Ks[view], calibration.distortion[view], K, side), depth / K[0, 0])
            )
    if not found:
        return None
    stack = [np.stack(column) for column in zip(*found, strict=True)]
    return Squares(torch.from_numpy(stack[0]), *(torch.from_numpy(part).float() for part in stack[1:5]))


def _cut(mask: np.ndarray, K: np.ndarray, distortion: np.ndarray, wanted: np.ndarray, side: int) -> np.ndarray:
    """An undistorted square [S, S] of a mask; blurred first where it is shrunk, so that no edge is missed."""
    cv2 = opencv("masks")
    shrunk = K[0, 0] / wanted[0, 0]
    if shrunk > 1:
        mask = cv2.GaussianBlur(mask, (0, 0), 0.4 * shrunk)
    shift = np.diag([1.0, 1.0, 1.0])
    shift[:2, 2] = -0.5  # OpenCV's pixel centres are at whole numbers
    maps = cv2.initUndistortRectifyMap(shift @ K, distortion, None, shift @ wanted, (side, side), cv2.CV_32FC1)
    return cv2.remap(mask, *maps, cv2.INTER_LINEAR).astype(np.float32) / 255


class Skin:
    """Points on a body's skin, each with a Gaussian; together they are opaque."""

    def __init__(self, body: BodyModel) -> None:
        self._points = skin_points(body, _POINTS)

    def silhouettes(self, betas: Tensor, posed: Posed, squares: Squares, chosen: Tensor) -> Tensor:
        """Alpha in some of the squares. [P'] -> [P', S, S]"""
        frames, places = squares.frames[chosen].unique(return_inverse=True)
        rest = self._points.shaped(betas)
        maps = blend(self._points.weights, posed.maps[frames], posed.transl[frames])
        means = ((maps[..., :3, :3] @ rest[:, :, None])[..., 0] + maps[..., :3, 3])[places]
        count, points = means.shape[:2]
        gaussians = Gaussians(
            means=means,
            quats=torch.tensor([1.0, 0, 0, 0]).expand(count, points, 4),
            scales=self._points.sigma[:, None].expand(count, points, 3),
            opacities=torch.full((count, points), 0.95),
            colors=torch.zeros(count, points, 1),
        )
        side = squares.masks.shape[-1]
        cameras = Cameras(squares.viewmats[chosen][:, None], squares.Ks[chosen][:, None], side, side)
        return render(gaussians, cameras, background=torch.zeros(1), eps2d=_BLUR).alpha[:, 0, ..., 0]
