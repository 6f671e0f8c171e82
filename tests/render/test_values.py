"""Renders and their gradients against the plain reference, gsplat's torch code and formulas."""

import math
from typing import Any

import pytest
import torch

from benchmarks import gsplat_torch
from hgg_pyg.render import reference
from hgg_pyg.render import render as render_images
from hgg_pyg.types import Cameras, Gaussians, RenderOutput
from tests.render.render_scenes import PARAMETERS, front_camera, gradients, render_by, ring_cameras, shell, with_grad

IMAGES = ("rgb", "alpha", "depth")


def render(*args: Any, **options: Any) -> RenderOutput:
    """With expected depth."""
    return render_images(*args, mode="rgb+ed", **options)


def by_reference(gaussians: Gaussians, cameras: Cameras) -> RenderOutput:
    return render_by(reference.render_scene, gaussians, cameras)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found.double() - expected).norm() / expected.norm()).detach())


@pytest.mark.parametrize(("width", "height", "channels"), [(64, 48, 3), (53, 37, 1), (9, 70, 6)])
def test_float64_equals_the_reference(width: int, height: int, channels: int) -> None:
    gaussians, cameras = with_grad(shell(200, channels)), ring_cameras(2, width, height)
    found, expected = render(gaussians, cameras), by_reference(gaussians, cameras)
    for name in IMAGES:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-11)
    found_gradients, expected_gradients = gradients(found, gaussians), gradients(expected, gaussians)
    for name in PARAMETERS:
        assert relative_error(found_gradients[name], expected_gradients[name]) < 1e-10, name


def test_float64_equals_gsplats_torch_code() -> None:
    gaussians, cameras = with_grad(shell(250)), ring_cameras(2, 70, 45)
    background = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    found = render(gaussians, cameras, background)
    expected = render_by(gsplat_torch.render_scene, gaussians, cameras, background)
    for name in IMAGES:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-10)
    found_gradients, expected_gradients = gradients(found, gaussians), gradients(expected, gaussians)
    for name in PARAMETERS:
        assert relative_error(found_gradients[name], expected_gradients[name]) < 1e-9, name


def test_float32_is_near_the_float64_reference() -> None:
    """Decisions at the thresholds flip by rounding at a few pixels: bound all but those, and their number."""
    exact, cameras = with_grad(shell(800, seed=1)), ring_cameras(2, 100, 84)
    rounded, rounded_cameras = with_grad(exact.to(torch.float32)), cameras.to(torch.float32)
    found, expected = render(rounded, rounded_cameras), by_reference(exact, cameras)
    assert found.rgb.dtype == torch.float32
    for name in ("rgb", "alpha"):
        error = (getattr(found, name).double() - getattr(expected, name)).abs().flatten()
        assert torch.quantile(error, 0.999) < 5e-6, name
        assert (error > 1e-4).double().mean() < 1e-4, name
    # A share of the scene is rendered so faintly that the sum of its depths has few digits.
    assert relative_error(found.depth, expected.depth) < 1e-5
    found_gradients, expected_gradients = gradients(found, rounded), gradients(expected, exact)
    for name in PARAMETERS:
        assert relative_error(found_gradients[name], expected_gradients[name]) < 3e-4, name


def test_gradcheck() -> None:
    gaussians, cameras = with_grad(shell(8, channels=2, seed=3, size=4.0)), ring_cameras(2, 20, 18)
    viewmats = cameras.viewmats.clone().requires_grad_()
    background = torch.tensor([0.3, 0.6], dtype=torch.float64, requires_grad=True)

    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(2, 18, 20, d, generator=generator, dtype=torch.float64) for d in (2, 1, 1)]

    def rendered(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        *fields, viewmats, background = values
        scene = Gaussians(**dict(zip(PARAMETERS, fields, strict=True)))
        output = render(scene, Cameras(viewmats, cameras.Ks, cameras.width, cameras.height), background)
        return tuple((image * weight).sum() for image, weight in zip(vars(output).values(), weights, strict=True))

    fields = [getattr(gaussians, name) for name in PARAMETERS]
    torch.autograd.gradcheck(rendered, [*fields, viewmats, background], atol=1e-5, rtol=1e-4)


def dot(z: float = 2.0, opacity: float = 0.8, scale: float = 0.05, dtype: torch.dtype = torch.float64) -> Gaussians:
    """One round black Gaussian on the optical axis of front_camera."""
    return Gaussians(
        means=torch.tensor([[0.0, 0.0, z]], dtype=dtype),
        quats=torch.tensor([[2.0, 0.0, 0.0, 0.0]], dtype=dtype),
        scales=torch.full((1, 3), scale, dtype=dtype),
        opacities=torch.tensor([opacity], dtype=dtype),
        colors=torch.zeros(1, 3, dtype=dtype),
    )


def test_one_gaussian_is_the_formula() -> None:
    output = render(dot(), front_camera(33, 21, focal=100.0))
    variance = (100.0 * 0.05 / 2.0) ** 2 + 0.3
    y, x = torch.meshgrid(torch.arange(21.0).double() - 10, torch.arange(33.0).double() - 16, indexing="ij")
    expected = 0.8 * torch.exp(-(x**2 + y**2) / (2 * variance))
    expected[expected < 1 / 255] = 0
    torch.testing.assert_close(output.alpha[0, :, :, 0], expected)
    torch.testing.assert_close(output.rgb[0], (1 - expected)[..., None].expand(-1, -1, 3))
    torch.testing.assert_close(output.depth[0, :, :, 0], torch.where(expected > 0, 2.0, 0.0).double())


def test_depth_and_colour_of_two_layers_and_a_background() -> None:
    """In front 0.8 of black at 2 m, then 0.5 of white at 3 m, then the background."""
    near, far = dot(opacity=0.8), dot(z=3.0, opacity=0.5)
    far = Gaussians(far.means, far.quats, far.scales, far.opacities, torch.ones(1, 3, dtype=torch.float64))
    background = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    output = render(Gaussians.cat([far, near]), front_camera(5, 5, focal=100.0), background)
    weights = torch.tensor([0.8, 0.2 * 0.5, 0.2 * 0.5], dtype=torch.float64)
    assert float(output.alpha[0, 2, 2]) == pytest.approx(0.9)
    assert float(output.depth[0, 2, 2]) == pytest.approx((0.8 * 2 + 0.1 * 3) / 0.9)
    torch.testing.assert_close(output.rgb[0, 2, 2], weights[1] * 1.0 + weights[2] * background)


@pytest.mark.parametrize(
    ("opacity", "alpha"), [(1.0, 0.999), (0.5, 0.5), (1.02 / 255, 1.02 / 255), (0.98 / 255, 0.0), (0.0, 0.0)]
)
def test_opacity_at_its_ends(opacity: float, alpha: float) -> None:
    """Alpha is clamped at 0.999, and nothing under 1/255 is rendered; neither has a gradient."""
    gaussians = with_grad(dot(opacity=opacity, dtype=torch.float32))
    output = render(gaussians, front_camera(7, 7, focal=100.0, dtype=torch.float32))
    assert float(output.alpha[0, 3, 3].detach()) == pytest.approx(alpha, rel=1e-5)
    (gradient,) = torch.autograd.grad(output.alpha[0, 3, 3], gaussians.opacities)
    assert float(gradient) == pytest.approx(1.0 if 0 < alpha < 0.999 else 0.0, rel=1e-5)


@pytest.mark.parametrize(("z", "rendered"), [(0.01, True), (0.0099, False), (0.0, False), (-2.0, False), (2e10, False)])
def test_near_and_far_planes(z: float, rendered: bool) -> None:
    gaussians = with_grad(dot(z=z, scale=1e-3))
    output = render(gaussians, front_camera(16, 16, focal=20.0))
    assert bool((output.alpha > 0).any()) == rendered
    for name, gradient in gradients(output, gaussians).items():
        assert gradient.isfinite().all(), name
        assert rendered or not gradient.any(), name


def test_what_is_beside_the_image_reaches_in_only_by_its_extent() -> None:
    """A Gaussian centred 6 pixels left of the image, 4 pixels wide: seen; 40 pixels left: not."""
    camera = front_camera(33, 33, focal=100.0)
    for pixels, rendered in ((6.0, True), (40.0, False)):
        gaussians = dot(scale=0.08)
        gaussians.means[0, 0] = -(16.5 + pixels) * 2.0 / 100.0
        output = render(with_grad(gaussians), camera)
        assert bool((output.alpha > 0).any()) == rendered
        torch.testing.assert_close(output.alpha, by_reference(gaussians, camera).alpha)


def test_a_pixel_ends_at_the_last_ten_thousandth() -> None:
    """Each layer takes 0.91 of what is left: the fourth would leave 0.09^4 < 1e-4 and is not rendered."""
    layers = Gaussians.cat([dot(z=2.0 + 0.1 * i, opacity=0.91) for i in range(9)])
    gaussians = with_grad(layers)
    output = render(gaussians, front_camera(5, 5, focal=100.0))
    assert float(output.alpha[0, 2, 2].detach()) == pytest.approx(1 - 0.09**3)
    (gradient,) = torch.autograd.grad(output.rgb[0, 2, 2].sum(), gaussians.colors)
    assert gradient[:3].gt(0).all()
    assert not gradient[3:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_needles_keep_their_ends(dtype: torch.dtype) -> None:
    """Long thin Gaussians at all angles, in float32, where the determinant of their conic has few digits."""
    angles = torch.arange(0, math.pi, math.pi / 16, dtype=dtype)
    zeros = torch.zeros_like(angles)
    needles = Gaussians(
        means=torch.stack([0.3 * torch.cos(5 * angles), 0.3 * torch.sin(3 * angles), 2 + 0.1 * angles], -1),
        quats=torch.stack([torch.cos(angles / 2), zeros, zeros, torch.sin(angles / 2)], -1),
        scales=torch.tensor([1.0, 1e-4, 1e-4], dtype=dtype).expand(len(angles), 3),
        opacities=torch.full_like(angles, 0.3),
        colors=torch.linspace(0, 1, 3 * len(angles), dtype=dtype).view(-1, 3),
    )
    camera = front_camera(90, 70, focal=200.0)
    found = render(needles, camera)
    expected = by_reference(needles.to(torch.float64), camera)
    error = (found.rgb.double() - expected.rgb).abs().flatten()
    assert torch.quantile(error, 0.99) < (1e-4 if dtype == torch.float32 else 1e-10)
    assert error.max() < (1e-2 if dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("scale", [0.0, 1e3, 1e6, 1e12, 1e18, 1e30])
def test_no_size_is_too_small_or_too_large_to_survive(scale: float) -> None:
    gaussians = dot(scale=scale, dtype=torch.float32)
    gaussians.scales[0, 1] *= 1e-3
    output = render(gaussians, front_camera(40, 20, focal=100.0, dtype=torch.float32))
    assert output.alpha.isfinite().all()
    if scale <= 1e6:
        assert float(output.alpha[0, 10, 20]) == pytest.approx(0.8, rel=1e-3)
