"""World space to image plane: 3D Gaussians become 2D ones (EWA splatting, Zwicker et al. 2001), in plain torch.

Every number that decides what is rendered is here, with gsplat 1.5.3's values, and all our rasterisers read it here;
but for the blur, which a scene has (`Scene.eps2d`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hgg_pyg.render.scene import Scene

NEAR = 0.01  # metres along z; nearer Gaussians are not rendered
FAR = 1e10
FRUSTUM_MARGIN = 0.3  # of half the image's size: how far outside it the Jacobian still follows a Gaussian
MAX_EXTENT = 3.33  # standard deviations a Gaussian reaches at most
ALPHA_MIN = 1.0 / 255.0  # fainter contributions are skipped
ALPHA_MAX = 0.999  # stronger ones are clamped, without gradient
TRANSMITTANCE_MIN = 1e-4  # a pixel is finished before the Gaussian that would bring it down to this


@dataclass(frozen=True)
class Projection:
    """S scenes of N Gaussians as V cameras see them."""

    means2d: Tensor  # [S, V, N, 2] pixels
    conics: Tensor  # [S, V, N, 3] (a, b, c) of the inverse 2D covariance [[a, b], [b, c]], pixels^-2
    depths: Tensor  # [S, V, N] metres along z
    opacities: Tensor  # [S, 1, N], or [S, V, N] antialiased
    radii: Tensor  # [S, V, N, 2] whole pixels in x and y beyond which nothing is rendered, 0 where culled; no gradient


def project(scene: Scene) -> Projection:
    """Project Gaussians into pinhole cameras.

    With x = R p + t, J the Jacobian of the perspective division at x and S, Q a Gaussian's scales and rotation:
    cov2d = (J R Q S) (J R Q S)^T + eps2d I, conic = cov2d^-1. Antialiased, what eps2d adds to a Gaussian's size is
    taken from its opacity: times sqrt(det(cov2d - eps2d I) / det(cov2d)), without gradient where that is 0.
    Components come first and Gaussians last in here, so that every operation runs along memory.
    """
    means, scales, viewmats, Ks, width, height = (
        *(scene.means, scene.scales, scene.viewmats, scene.Ks),
        *(scene.width, scene.height),
    )
    scenes, count, views = *means.shape[:2], viewmats.shape[1]
    rotation = viewmats[..., :3, :3].reshape(scenes, 3 * views, 3)
    x, y, z = ((rotation @ means.mT).view(scenes, views, 3, count) + viewmats[..., :3, 3:]).unbind(2)  # each [S, V, N]
    in_range = (z >= NEAR) & (z <= FAR)
    inverse_z = 1 / torch.where(in_range, z, 1.0)  # a culled Gaussian must not turn its zero gradient into NaN
    u, v = x * inverse_z, y * inverse_z

    focal_x, focal_y = Ks[..., 0, 0, None], Ks[..., 1, 1, None]  # [S, V, 1]
    center_x, center_y = Ks[..., 0, 2, None], Ks[..., 1, 2, None]
    margin_x, margin_y = FRUSTUM_MARGIN * 0.5 * width / focal_x, FRUSTUM_MARGIN * 0.5 * height / focal_y
    u_near = torch.clamp(u, min=-center_x / focal_x - margin_x, max=(width - center_x) / focal_x + margin_x)
    v_near = torch.clamp(v, min=-center_y / focal_y - margin_y, max=(height - center_y) / focal_y + margin_y)

    # [S, 3, 3, N] column k: the Gaussian's k-th half axis, in the world
    axes = _rotation_components(scene.quats) * scales.mT[:, None]
    rotated = (rotation @ axes.reshape(scenes, 3, 3 * count)).view(scenes, views, 3, 3, count)
    axis_x, axis_y, axis_z = rotated.unbind(2)  # [S, V, 3, N]
    row_x = (focal_x * inverse_z)[:, :, None] * (axis_x - u_near[:, :, None] * axis_z)  # [S, V, 3, N] rows of J R Q S
    row_y = (focal_y * inverse_z)[:, :, None] * (axis_y - v_near[:, :, None] * axis_z)
    size_x, cov_xy, size_y = (row_x * row_x).sum(2), (row_x * row_y).sum(2), (row_y * row_y).sum(2)  # [S, V, N]
    cov_xx, cov_yy = size_x + scene.eps2d, size_y + scene.eps2d
    determinant = cov_xx * cov_yy - cov_xy * cov_xy
    solid = (determinant > 0) & determinant.isfinite()  # rounding can break this for what is much wider than the image
    inverse = 1 / torch.where(solid, determinant, 1.0)
    opacities = scene.opacities[:, None]
    if scene.antialiased:
        share = torch.where(solid, (size_x * size_y - cov_xy * cov_xy) * inverse, 0.0)
        some = share > 0
        opacities = opacities * torch.where(some, torch.sqrt(torch.where(some, share, 1.0)), 0.0)

    means2d = torch.stack([focal_x * u + center_x, focal_y * v + center_y], -1)
    conics = torch.stack([cov_yy * inverse, -cov_xy * inverse, cov_xx * inverse], -1)
    with torch.no_grad():
        # alpha falls to ALPHA_MIN at this many standard deviations
        extent = torch.sqrt(2 * torch.log((opacities / ALPHA_MIN).clamp(min=1.0))).clamp(max=MAX_EXTENT)
        radii = torch.ceil(extent[..., None] * torch.sqrt(torch.stack([cov_xx, cov_yy], -1)))
        size = torch.tensor([width, height], dtype=means.dtype, device=means.device)
        on_image = ((means2d + radii > 0) & (means2d - radii < size)).all(-1)
        radii *= (in_range & solid & on_image & (opacities >= ALPHA_MIN))[..., None]
    return Projection(means2d, conics, z, opacities, radii)


def _rotation_components(
    quats: Tensor,  # [S, N, 4] wxyz
) -> Tensor:
    """Rotation matrices of quaternions, which are normalised first, with the Gaussians last. [S, 3, 3, N]"""
    w, x, y, z = normalize(quats, dim=-1).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, 1).unflatten(1, (3, 3))
