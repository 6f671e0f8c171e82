"""The same picture by gsplat's CUDA kernels. The only module that imports gsplat."""

from __future__ import annotations

from torch import Tensor

from hgg_pyg.render.projection import EPS2D, FAR, NEAR
from hgg_pyg.types import Cameras, Gaussians, UserError


def draw(gaussians: Gaussians, cameras: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Draw float32 Gaussians: [V, H, W, D] colour, [V, H, W, 1] alpha, [V, H, W, 1] expected depth.

    gsplat's other thresholds are compiled into it; projection.py has the same values.

    Raises:
        UserError: the Gaussians are not on a CUDA device, or gsplat is not installed, or has no compiled kernels.
    """
    means = gaussians.means
    if not means.is_cuda:
        raise UserError(
            f'render: backend "gsplat" needs tensors on a CUDA device, found {means.device}; '
            'move them with .to("cuda"), or use backend "cpu"'
        )
    if len(gaussians) == 0:  # gsplat counts tiles at the last Gaussian
        return _nothing(gaussians, cameras)
    try:
        from gsplat import rasterization

        drawn, alpha, _ = rasterization(
            means=means,
            quats=gaussians.quats,
            scales=gaussians.scales,
            opacities=gaussians.opacities,
            colors=gaussians.colors,
            viewmats=cameras.viewmats,
            Ks=cameras.Ks,
            width=cameras.width,
            height=cameras.height,
            near_plane=NEAR,
            far_plane=FAR,
            eps2d=EPS2D,
            packed=False,
            render_mode="RGB+ED",
            rasterize_mode="classic",
        )
    except ImportError as error:
        raise UserError(
            f"render: gsplat cannot be imported ({error}); "
            'pip install "gsplat>=1.5.3" packaging, or move the tensors to the CPU'
        ) from error
    except AttributeError as error:
        if "NoneType" not in str(error):
            raise
        raise UserError(  # without its kernels, gsplat looks its functions up in None
            "render: gsplat has no compiled kernels and no CUDA toolkit to build them; "
            "install the toolkit (nvcc on PATH), or move the tensors to the CPU"
        ) from error
    return drawn[..., :-1], alpha, drawn[..., -1:]


def _nothing(gaussians: Gaussians, cameras: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Empty images that still depend on the (empty) inputs, so that a backward pass finds zero gradients."""
    fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors)
    zero = sum((field.sum() for field in fields), start=cameras.viewmats.sum() * 0)
    size = (len(cameras), cameras.height, cameras.width)
    return zero.expand(*size, gaussians.colors.shape[-1]), zero.expand(*size, 1), zero.expand(*size, 1)
