r"""Gaussians in a viser page.

viser draws with the blur of 0.3 px² that our renderer has, but leaves a Gaussian out whose footprint is small: where
:math:`\alpha \det(\Sigma_{2D} + 0.3 I) < 1/4`, in px⁴. Seen from afar a whole person disappears. And it keeps
covariances as float16, in which those of a few millimetres, in square metres, are hardly numbers any more. So we

- send lengths in tenths of a metre, which viser scales back;
- add to each covariance what lacks, nearer than where they were seen from, to the blur that the Gaussians were made
  under, 0.3 px² of their own images, as `avatar.footprint` has it: without it a person falls apart into specks;
- add what else a Gaussian needs not to be left out at the page's present distance, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hgg_pyg.render import EPS2D
from hgg_pyg.types import Gaussians

if TYPE_CHECKING:
    from viser import GaussianSplatHandle, ViserServer

_UNIT = 0.1  # metres
_LEAST = 0.26  # px⁴, a little above where viser leaves a Gaussian out
_FAINT = 5  # of 255: what is less opaque may be left out
_CODED = 2.0**14  # of covariances, in square units: the largest of float16 are four times as large


class SplatLayer:
    """Gaussians under one name of the scene.

    Args:
        server: of the page.
        name: of the node, with a slash before it.
    """

    def __init__(self, server: ViserServer, name: str) -> None:
        self._server, self._name = server, name
        self._handle: GaussianSplatHandle | None = None

    def show(self, gaussians: Gaussians, made: float, pixel: float) -> None:
        """Draw these instead of those before.

        Args:
            gaussians: [M] with colours [M, 3].
            made: metres that a pixel of the images spans which they were made of.
            pixel: metres that a pixel of the page spans where they are; 0 if nobody looks.
        """
        blur = EPS2D * max(made**2 - pixel**2, 0.0)
        means, colors, opacities = (
            x.detach().float().cpu().numpy() for x in (gaussians.means, gaussians.colors, gaussians.opacities)
        )
        covariances = _covariances(gaussians) + (blur + _missing(gaussians, blur, pixel))[:, None, None] * np.eye(3)
        parts = (
            means / _UNIT,
            np.clip(covariances / _UNIT**2, -_CODED, _CODED).astype(np.float32),
            np.clip(colors, 0, 1),
            np.clip(opacities, 0, 1)[:, None],
        )
        if self._handle is None:
            self._handle = self._server.scene.add_gaussian_splats(self._name, *parts, scale=_UNIT)
        else:
            self._handle.set_gaussians(*parts)
            self._handle.visible = True

    def hide(self) -> None:
        """Draw nothing."""
        if self._handle is not None:
            self._handle.visible = False


def _covariances(gaussians: Gaussians) -> np.ndarray:
    """R diag(s²) Rᵀ. [M, 3, 3] square metres"""
    quats = gaussians.quats.detach().float().cpu().numpy()
    w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True).clip(1e-12)).T
    rotations = np.stack(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ],
        -1,
    ).reshape(-1, 3, 3)
    axes = rotations * gaussians.scales.detach().float().cpu().numpy()[:, None]
    return axes @ axes.swapaxes(1, 2)


def _missing(gaussians: Gaussians, blur: float, pixel: float) -> np.ndarray:
    r"""What each variance lacks for its Gaussian not to be left out, from wherever it is seen. [M] square metres

    A footprint is at least as large as the two smaller axes: with their variances :math:`a \le c` in px², all blur in
    them, the x is wanted that solves :math:`(a + x)(c + x) = \mathrm{least} / \alpha`.
    """
    if not pixel:
        return np.zeros(len(gaussians))
    scales = np.sort(gaussians.scales.detach().double().cpu().numpy(), 1)[:, :2]
    a, c = ((scales**2 + blur) / pixel**2 + EPS2D).T
    opacities = np.floor(255 * gaussians.opacities.detach().double().cpu().numpy()).clip(_FAINT)  # as viser keeps them
    needed = _LEAST / (opacities / 255)
    return pixel**2 * np.maximum(np.sqrt(((a - c) / 2) ** 2 + needed) - (a + c) / 2, 0)
