"""The blur of Gaussians on the image, by every rasteriser: values and gradients."""

import math

import pytest
import torch

from benchmarks import gsplat_torch, torch_tiles
from hgg_pyg.render import EPS2D, reference, render
from hgg_pyg.render.fast_projection import project_fast
from hgg_pyg.render.projection import project
from hgg_pyg.render.scene import make_scene
from hgg_pyg.types import Gaussians
from tests.render.render_scenes import PARAMETERS, front_camera, gradients, render_by, ring_cameras, shell, with_grad


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found.double() - expected.double()).norm() / expected.double().norm()).detach())


@pytest.mark.parametrize("eps2d", [0.0, 0.05, 5.0])
@pytest.mark.parametrize("render_scene", [gsplat_torch.render_scene, reference.render_scene, torch_tiles.render_scene])
def test_every_rasteriser_blurs_alike(render_scene, eps2d: float) -> None:
    """float64: gsplat's torch code, the definition, and tiles under autograd."""
    gaussians, cameras = with_grad(shell(150, size=0.5)), ring_cameras(2, 50, 37)
    found = render(gaussians, cameras, mode="rgb+d", eps2d=eps2d)
    expected = render_by(render_scene, gaussians, cameras, mode="rgb+d", eps2d=eps2d)
    for name in ("rgb", "alpha", "depth"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-10)
    assert (found.rgb - render(gaussians, cameras).rgb).abs().max() > 0.02  # it is not ignored
    ours, theirs = gradients(found, gaussians), gradients(expected, gaussians)
    for name in PARAMETERS:
        assert relative_error(ours[name], theirs[name]) < 1e-8, name


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("eps2d", [0.05, 5.0])
def test_kernels_project_as_plain_torch_does(eps2d: float, antialiased: bool) -> None:
    scene = make_scene(shell(300), ring_cameras(2, 50, 37), antialiased=antialiased, eps2d=eps2d)
    found, expected = project_fast(scene), project(scene)
    assert torch.equal(found.radii, expected.radii)
    seen = found.radii.prod(-1) > 0
    torch.testing.assert_close(found.conics[seen], expected.conics[seen])
    assert float(project(make_scene(shell(300), ring_cameras(2, 50, 37))).radii.sum()) != float(expected.radii.sum())


@pytest.mark.parametrize("eps2d", [0.01, EPS2D, 20.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_gaussian_is_the_formula(eps2d: float, dtype: torch.dtype) -> None:
    """exp(-x^2 / 2 (s^2 + eps2d)) of a round one of s = 1 pixel."""
    dot = Gaussians(
        means=torch.tensor([[0.0, 0, 2]], dtype=dtype),
        quats=torch.tensor([[1.0, 0, 0, 0]], dtype=dtype),
        scales=torch.full((1, 3), 0.02, dtype=dtype),
        opacities=torch.tensor([0.9], dtype=dtype),
        colors=torch.zeros(1, 3, dtype=dtype),
    )
    row = render(dot, front_camera(41, 41, focal=100.0, dtype=dtype), eps2d=eps2d).alpha[0, 20, :, 0]
    for x in range(-3, 4):
        alpha = 0.9 * math.exp(-(x**2) / (2 * (1 + eps2d)))
        expected = alpha if alpha >= 1 / 255 else 0.0
        assert float(row[20 + x]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_no_other_numbers(wrong: float) -> None:
    with pytest.raises(ValueError, match="expected eps2d >= 0"):
        render(shell(10), ring_cameras(1, 20, 20), eps2d=wrong)


def test_views_of_several_sizes_are_blurred_alike() -> None:
    gaussians = shell(80)
    sizes = [ring_cameras(1, 30, 20), ring_cameras(1, 40, 50)]
    for image, cameras in zip(render(gaussians, sizes, eps2d=4.0), sizes, strict=True):
        assert torch.equal(image.rgb, render(gaussians, cameras, eps2d=4.0).rgb)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("eps2d", [0.05, 5.0])
def test_gsplat_blurs_as_the_cpu_does(eps2d: float) -> None:
    gaussians, cameras = shell(1000).to(torch.float32), ring_cameras(2, 90, 70, torch.float32)
    found, expected = (render(each, cameras, eps2d=eps2d).rgb.cpu() for each in (gaussians.to("cuda"), gaussians))
    error = (found - expected).abs().flatten().sort().values
    assert error[int(0.999 * len(error))] < 2e-5
