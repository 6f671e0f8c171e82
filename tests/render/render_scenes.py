"""Scenes for the tests of rendering."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hgg_pyg.render import Mode
from hgg_pyg.render.scene import Rendered, Scene, compose, make_scene
from hgg_pyg.types import Cameras, Gaussians, RenderOutput

PARAMETERS = ("means", "quats", "scales", "opacities", "colors")


def ring_cameras(views: int, width: int, height: int, dtype: torch.dtype = torch.float64) -> Cameras:
    """Cameras on a circle of 3 m around the origin, each with intrinsics of its own."""
    viewmats, Ks = [], []
    for view in range(views):
        angle = 2 * math.pi * view / views + 0.3
        viewmat = torch.eye(4, dtype=dtype)
        viewmat[0, 0], viewmat[0, 2], viewmat[2, 0], viewmat[2, 2] = (
            *(math.cos(angle), -math.sin(angle)),
            *(math.sin(angle), math.cos(angle)),
        )
        viewmat[2, 3] = 3.0
        focal = 1.4 * height * (1 + 0.2 * view)
        viewmats.append(viewmat)
        Ks.append(
            torch.tensor(
                [[focal, 0, 0.45 * width + view], [0, 1.1 * focal, 0.55 * height], [0, 0, 1]],
                dtype=dtype,
            )
        )
    return Cameras(torch.stack(viewmats), torch.stack(Ks), width, height)


def front_camera(width: int, height: int, focal: float, dtype: torch.dtype = torch.float64) -> Cameras:
    """One camera at the origin that looks along z; the optical axis meets the centre of a pixel."""
    K = torch.tensor([[focal, 0, width // 2 + 0.5], [0, focal, height // 2 + 0.5], [0, 0, 1]], dtype=dtype)
    return Cameras(torch.eye(4, dtype=dtype)[None], K[None], width, height)


def shell(count: int, channels: int = 3, seed: int = 0, size: float = 1.0) -> Gaussians:
    """Gaussians on a human-sized ellipsoid, with all that needs care among them. float64."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    directions = torch.nn.functional.normalize(normal(count, 3), dim=-1)
    means = directions * torch.tensor([0.5, 0.9, 0.5]).double() * (1 + 0.02 * normal(count, 1))
    opacities = 0.3 + 0.69 * uniform(count)
    part = count // 10
    opacities[:part] = 1.0  # meets the clamp
    opacities[part : 2 * part] = 0.003  # never rendered
    means[2 * part : 3 * part] *= 8  # beside and behind the cameras
    return Gaussians(
        means=means,
        quats=normal(count, 4),
        scales=size * 0.01 * 6 ** uniform(count, 3),
        opacities=opacities,
        colors=uniform(count, channels),
    )


def with_grad(gaussians: Gaussians) -> Gaussians:
    """A copy whose fields are leaves that want gradients."""
    return gaussians.map(lambda tensor: tensor.detach().clone().requires_grad_())


def gradients(output: RenderOutput, gaussians: Gaussians, seed: int = 0) -> dict[str, Tensor]:
    """Gradients of a random weighting of all that was rendered."""
    generator = torch.Generator().manual_seed(seed)
    loss = torch.zeros((), dtype=output.rgb.dtype)
    for image, weight in ((output.rgb, 1.0), (output.alpha, 1.0), (output.depth, 0.1)):
        if image is None:
            continue
        weights = torch.randn(image.shape, generator=generator, dtype=torch.float64)
        loss = loss + (weight * weights.to(image) * image).sum()
    fields = [getattr(gaussians, name) for name in PARAMETERS]
    return dict(zip(PARAMETERS, torch.autograd.grad(loss, fields), strict=True))


def render_by(
    render_scene: Callable[[Scene], Rendered],
    gaussians: Gaussians,
    cameras: Cameras,
    background: Tensor | None = None,
    mode: Mode = "rgb+ed",
    **options: Any,
) -> RenderOutput:
    """What `render` would return with another function behind it."""
    rendered = render_scene(make_scene(gaussians, cameras, mode, **options))
    return compose(rendered, background, mode, gaussians.means.shape[:-2])
