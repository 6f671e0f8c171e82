"""The kernels of the projection against the same in plain torch: values and gradients."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from hgg_pyg.render.fast_projection import project_fast
from hgg_pyg.render.projection import Projection, project
from hgg_pyg.render.scene import Scene, make_scene
from hgg_pyg.types import Cameras, Gaussians


def scene(count: int, tracked: bool = True, dtype: torch.dtype = torch.float64) -> Scene:
    """Two scenes in three views of 50 x 30 pixels: before and behind the cameras, within the image and far beside it,
    too faint, too large, thin, with quaternions of any length."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(2, count, *shape, generator=generator, dtype=torch.float64)

    means, scales, opacities = 1.5 * draw(3), 0.1 * draw(3).exp(), torch.sigmoid(3 * draw())
    means[:, :20, 2] = torch.tensor([-3.0, -2.99, -2.995, -2.985]).repeat(
        5
    )  # about the nearest depth of the first view
    opacities[:, 20:30] = 1e-3
    scales[:, 30:35] = 1e3
    given = [means, draw(4), scales, opacities, draw(3)]
    given = [field.to(dtype).requires_grad_(tracked) for field in given]
    viewmats = torch.eye(4, dtype=dtype).repeat(3, 1, 1)
    viewmats[:, 2, 3] = torch.tensor([3.0, 2.0, 4.0])
    angle = torch.tensor(0.7, dtype=dtype)
    viewmats[1, 0, 0], viewmats[1, 0, 2] = angle.cos(), angle.sin()
    viewmats[1, 2, 0], viewmats[1, 2, 2] = -angle.sin(), angle.cos()
    Ks = torch.tensor([[40.0, 0, 24], [0, 44, 16], [0, 0, 1]], dtype=dtype).repeat(3, 1, 1)
    return make_scene(Gaussians(*given), Cameras(viewmats, Ks, 50, 30), "rgb", False, None)


def gradients(found: Projection, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a sum in which each number that is drawn has a weight of its own."""
    drawn = (found.radii > 0).all(-1, keepdim=True)
    fields_ = [found.means2d, found.conics, found.depths[..., None]]
    weights = [torch.linspace(-1, 1, field.numel(), dtype=field.dtype).view_as(field) for field in fields_]
    return torch.autograd.grad(sum((f * w * drawn).sum() for f, w in zip(fields_, weights, strict=True)), inputs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-3)])
def test_kernels_equal_plain_torch(dtype: torch.dtype, tolerance: float) -> None:
    given = scene(400, dtype=dtype)
    found, expected = project_fast(given), project(given)
    assert "Project" in str(found.means2d.grad_fn)
    assert "Project" not in str(expected.means2d.grad_fn)
    drawn = expected.radii > 0
    assert 200 < int(drawn.all(-1).sum()) < 2000  # some are, some are not
    assert ((found.radii > 0) == drawn).double().mean() > 0.999
    both = drawn.all(-1) & (found.radii > 0).all(-1)
    for field in fields(Projection):
        of_both = [getattr(one, field.name).expand(*both.shape, *getattr(one, field.name).shape[3:])[both]
                   for one in (found, expected)]  # fmt: skip
        torch.testing.assert_close(*of_both, rtol=tolerance, atol=tolerance)
    inputs = [given.means, given.quats, given.scales]
    for a, b in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        assert b.abs().max() > 0
        assert (a - b).norm() <= tolerance * b.norm()


def test_the_gradient_is_that_of_differences() -> None:
    given = scene(60)
    inputs = [given.means, given.quats, given.scales]
    start = [x.detach().clone() for x in inputs]
    analytic = gradients(project_fast(given), inputs)
    drawn = (project_fast(given).radii > 0).all(-1).any(1)  # [S, N]
    assert drawn.sum() > 20
    generator = torch.Generator().manual_seed(1)
    for which, x in enumerate(inputs):
        direction = torch.randn(x.shape, generator=generator, dtype=x.dtype) * drawn[..., None]
        direction = direction * 1e-7
        sums = []
        for sign in (1, -1):
            with torch.no_grad():
                x.copy_(start[which] + sign * direction)
            moved = project_fast(given)
            kept = (moved.radii > 0).all(-1, keepdim=True)
            fields_ = [moved.means2d, moved.conics, moved.depths[..., None]]
            weights = [torch.linspace(-1, 1, f.numel(), dtype=f.dtype).view_as(f) for f in fields_]
            sums.append(sum((f * w * kept).sum() for f, w in zip(fields_, weights, strict=True)).detach())
        with torch.no_grad():
            x.copy_(start[which])
        torch.testing.assert_close((sums[0] - sums[1]) / 2, (analytic[which] * direction).sum(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("what", ["antialiased", "cameras with gradients"])
def test_what_the_kernels_leave_to_torch(what: str) -> None:
    given = scene(30)
    if what == "antialiased":
        given = replace(given, antialiased=True)
    else:
        given.viewmats.requires_grad_()
    found, expected = project_fast(given), project(given)
    for field in fields(Projection):
        assert torch.equal(getattr(found, field.name), getattr(expected, field.name))
    assert "Project" not in str(found.means2d.grad_fn)
