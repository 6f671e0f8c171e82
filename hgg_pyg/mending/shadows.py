"""The body alone, black, beside masks taken for images of it: what brings poses that are far off near the person."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.kernels.normals import vertex_normals
from hgg_pyg.refine.blank import blank_avatar

_POINTS = 3000  # evenly over the skin: every 2 cm
# How far a point's Gaussian lies below the skin over its standard deviation, so that half of alpha is near the skin
# with the blur that rendering adds
_SUNK = 2.5


@dataclass(frozen=True)
class Shadows(Capture):
    """A capture that shows nothing but where the person is: black on white."""

    def image(self, frame: int, camera: int) -> np.ndarray:
        """Black. [H, W, 3]"""
        width, height = self.size()
        return np.zeros((height, width, 3), np.float32)


def shadows_of(source: FrameSource) -> FrameSource:
    """The same frames and masks, and no colours."""
    capture = source.capture
    return replace(
        source, capture=Shadows(**{field.name: getattr(capture, field.name) for field in fields(capture)}), stored=None
    )


def shadow_avatar(body: BodyModel, betas: Tensor) -> BoundAvatar:
    """Black Gaussians under the skin, together opaque, whose silhouette is the body's.

    Args:
        body: on any device, where the avatar will be.
        betas: [B] of the shape.
    """
    blank = blank_avatar(body, betas, _POINTS)
    gaussians, vertices = blank.gaussians, body.shaped_vertices(betas)
    size = gaussians.scales.amax(1, keepdim=True)
    normals = vertex_normals(vertices.double().cpu().numpy(), body.faces.cpu().numpy())
    below = _SUNK * size * torch.from_numpy(normals).to(vertices)[blank.binding]
    return replace(
        blank,
        gaussians=replace(
            gaussians,
            means=gaussians.means - below,
            scales=size.expand(-1, 3).contiguous(),
            opacities=torch.full_like(gaussians.opacities, 0.95),
            colors=torch.zeros_like(gaussians.colors),
        ),
    )
