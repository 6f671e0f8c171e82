r"""How improbable a figure is: what the fit lowers.

.. math::
    E = \sum_{fva} w_{fva} \, \rho\!\left(\frac{z_{fva} |x_{fva} - \pi_v(X_{fa})|}{\sigma_l}\right)
      + \frac{1}{0.1\,\mathrm m} \sum_{fv} s_{fv}^2 \sum_p
        \left(\frac{(S - M)_+^2}{\sigma_e} + \frac{(M - S)_+^2}{\sigma_c}\right)
      + E_{\mathrm{bends}} + E_{\mathrm{shape}} + E_{\mathrm{offsets}} + E_{\mathrm{motion}}

X are the landmarks' places on the body, x the landmarks on the plane one metre before camera v and z the depth, so that
all is in metres at the person; S is the body's silhouette, M the mask, s the size of a pixel at the person. A metre of
outline that is off by d has d / s^2 pixels, and ten centimetres of it count as one measurement. :math:`\rho` is half
the square near zero and never more than half of `tail` squared (Geman and McClure).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.fit.config import FitConfig
from hgg_pyg.prepare.fit.figure import Figure, Posed
from hgg_pyg.prepare.fit.joints import JointPrior
from hgg_pyg.prepare.fit.silhouettes import Skin, Squares
from hgg_pyg.prepare.rays import normalised

TAIL, FIRST_TAIL = 3.0, 100.0  # standard deviations
_OUTLINE = 0.1  # metres that count as one measurement
_VIEWS = 4  # of one moment that count: in more of them the same clothes are seen again
_NEAREST = 0.05  # metres before a camera


@dataclass(frozen=True)
class Images:
    """Landmarks of A anchors in V images of F frames."""

    points: Tensor  # [F, V, A, 2] on the plane one metre before the camera, without its lens
    weights: Tensor  # [F, V, A] 0 where not known
    R: Tensor  # [V, 3, 3]
    T: Tensor  # [V, 3]


def images_of(points2d: np.ndarray, calibration: Calibration) -> Images:
    """Landmarks in pixels of filed images and their weights, [F, V, A, 3], as the energy compares them."""
    plane = normalised(points2d[..., :2], calibration)
    weights = np.nan_to_num(points2d[..., 2]).clip(0, 1) * np.isfinite(plane).all(-1)
    parts = (np.nan_to_num(plane), weights, calibration.R, calibration.T)
    return Images(*(torch.from_numpy(part).float() for part in parts))


class Energy:
    """The terms of the formula above.

    Args:
        figure: whose.
        prior: of its bends.
        target: [F, A, 3] landmarks in space, metres, NaN where not known; compared where there are no images.
        images: the landmarks in the images.
        times: [F] seconds.
        config: standard deviations.
    """

    def __init__(
        self,
        figure: Figure,
        prior: JointPrior,
        target: Tensor,
        images: Images | None,
        times: np.ndarray,
        config: FitConfig,
    ) -> None:
        self._figure, self._prior, self._images, self._config = figure, prior, images, config
        self.tail = TAIL
        """Standard deviations from which on a landmark counts less."""
        self._known, self._target = target.isfinite().all(-1), target.nan_to_num(0)
        self._gaps = torch.from_numpy(np.diff(times)).float()[:, None, None]  # [F - 1, 1, 1] seconds

    def of_landmarks(self, posed: Posed) -> Tensor:
        """Landmarks, and what is expected of shape, pose and motion. []"""
        figure, config, images = self._figure, self._config, self._images
        if images is None:
            away, weights = (posed.anchors - self._target).norm(dim=-1), self._known
        else:
            seen = torch.einsum("vab,fnb->fvna", images.R, posed.anchors) + images.T[:, None]
            depth = seen[..., 2:].clamp_min(_NEAREST)
            # The root of exactly zero has no gradient.
            away = ((seen[..., :2] - images.points * depth).square().sum(-1) + 1e-12).sqrt()
            weights = images.weights
        landmarks = (self._robust(away / config.landmark_sigma) * weights).sum()
        # Counted in each frame, as the landmarks are: hundreds of them would outweigh any prior. Halved for two sides.
        offsets = (figure.anchor_offsets() / figure.anchors.sigma[:, None]).square().sum() * len(figure.turn) / 4
        shape = 0.5 * (figure.betas / config.shape_sigma).square().sum()
        return landmarks + offsets + shape + self._prior.cost(figure.bends) + self._of_motion(posed)

    def of_masks(self, posed: Posed, skin: Skin, squares: Squares, chosen: Tensor) -> Tensor:
        """The masks, by as many of the images as are chosen, [P'] int64. []"""
        config = self._config
        error = skin.silhouettes(self._figure.betas, posed, squares, chosen) - squares.masks[chosen]
        beyond, within = error.clamp_min(0).square(), error.clamp_max(0).square()
        area = (beyond / config.edge_sigma + within / config.clothes_sigma).sum((1, 2)) * squares.scale[chosen].square()
        return area.mean() * min(len(squares.frames), _VIEWS * squares.moments) / _OUTLINE

    def _of_motion(self, posed: Posed) -> Tensor:
        """Accelerations of places and of joints."""
        if len(posed.transl) < 3:
            return posed.transl.new_zeros(())
        moved = self._second_difference(posed.anchors) / self._config.acceleration_sigma
        turned = self._second_difference(posed.rotations.flatten(2)) / self._config.spin_sigma
        return 0.5 * moved.square().sum() + 0.25 * turned.square().sum()  # a turn by a changes R by sqrt(2) a

    def _second_difference(self, values: Tensor) -> Tensor:
        """Second derivative in time, for uneven times as well. [F, A, C] -> [F - 2, A, C]"""
        slopes = values.diff(dim=0) / self._gaps
        return 2 * slopes.diff(dim=0) / (self._gaps[1:] + self._gaps[:-1])

    def _robust(self, away: Tensor) -> Tensor:
        square = away.square()
        return 0.5 * square / (1 + square / self.tail**2)
