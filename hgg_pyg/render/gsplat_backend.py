"""The same image by gsplat's CUDA kernels. The only module that imports gsplat."""

from __future__ import annotations

from hgg_pyg.render.projection import FAR, NEAR
from hgg_pyg.render.scene import Rendered, Scene
from hgg_pyg.types import UserError


def render_scene(scene: Scene) -> Rendered:
    """Render float32 Gaussians on a CUDA device.

    gsplat's other thresholds are compiled into it; projection.py has the same values.

    Raises:
        UserError: the Gaussians are not on a CUDA device, or gsplat is not installed, or has no compiled kernels.
    """
    if not scene.means.is_cuda:
        raise UserError(
            f'render: backend "gsplat" needs tensors on a CUDA device, found {scene.means.device}; '
            'move them with .to("cuda"), or use backend "cpu"'
        )
    if scene.means.shape[1] == 0:  # gsplat counts tiles at the last Gaussian
        return nothing(scene)
    try:
        from gsplat import rasterization

        rendered, alpha, _ = rasterization(
            means=scene.means,
            quats=scene.quats,
            scales=scene.scales,
            opacities=scene.opacities,
            colors=scene.colors[:, 0] if scene.colors.shape[1] == 1 else scene.colors,
            viewmats=scene.viewmats,
            Ks=scene.Ks,
            width=scene.width,
            height=scene.height,
            near_plane=NEAR,
            far_plane=FAR,
            eps2d=scene.eps2d,
            packed=False,
            render_mode="RGB+D" if scene.with_depth else "RGB",
            rasterize_mode="antialiased" if scene.antialiased else "classic",
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
    if not scene.with_depth:
        return Rendered(rendered, alpha, None)
    return Rendered(rendered[..., :-1], alpha, rendered[..., -1:])


def nothing(scene: Scene) -> Rendered:
    """Empty images that still depend on the (empty) inputs, so that a backward pass finds zero gradients."""
    fields = (scene.means, scene.quats, scene.scales, scene.opacities, scene.colors)
    zero = sum((field.sum() for field in fields), start=scene.viewmats.sum() * 0)
    one = zero.expand(*scene.image_shape, 1)
    return Rendered(zero.expand(*scene.image_shape, scene.colors.shape[-1]), one, one if scene.with_depth else None)
