"""What must hold whatever is rendered: repeatability, order, views, emptiness, errors, and which backend is asked."""

import inspect
import logging
import sys
from dataclasses import replace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from hgg_pyg.render import cpu, gsplat_backend
from hgg_pyg.render import render as render_images
from hgg_pyg.render.projection import project
from hgg_pyg.render.scene import make_scene
from hgg_pyg.types import Cameras, Gaussians, RenderOutput, UserError
from tests import python
from tests.render.render_scenes import PARAMETERS, gradients, ring_cameras, shell, with_grad

IMAGES = ("rgb", "alpha", "depth")


def render(*args: Any, **options: Any) -> RenderOutput:
    """With expected depth."""
    return render_images(*args, mode="rgb+ed", **options)


@pytest.fixture
def scene() -> tuple[Gaussians, Cameras]:
    """float32, 3 views of 75 x 50."""
    return shell(400).to(torch.float32), ring_cameras(3, 75, 50, torch.float32)


def render_with_gradients(gaussians: Gaussians, cameras: Cameras) -> tuple[RenderOutput, dict[str, torch.Tensor]]:
    gaussians = with_grad(gaussians)
    output = render(gaussians, cameras)
    return output.detach(), gradients(output, gaussians)


def test_runs_repeat_bit_for_bit(scene) -> None:
    first, first_gradients = render_with_gradients(*scene)
    again, again_gradients = render_with_gradients(*scene)
    for name in IMAGES:
        assert torch.equal(getattr(again, name), getattr(first, name)), name
    for name in PARAMETERS:
        assert torch.equal(again_gradients[name], first_gradients[name]), name


def test_kernels_repeat_bit_for_bit_on_any_number_of_threads(scene) -> None:
    gaussians, cameras = scene
    splats = project(make_scene(gaussians, cameras))
    projected = (splats.means2d, splats.conics, splats.depths, splats.radii)
    means2d, conics, depths, radii = (tensor[0] for tensor in projected)
    inputs = means2d, conics, depths, gaussians.opacities[None], gaussians.colors[None]
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            leaves = [tensor.clone().requires_grad_() for tensor in inputs]
            rendered = cpu._Blend.apply(*leaves, radii, cameras.width, cameras.height, True)
            results.append([*rendered, *torch.autograd.grad([image.square().sum() for image in rendered], leaves)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_order_of_gaussians_does_not_matter(scene) -> None:
    gaussians, cameras = scene
    order = torch.randperm(len(gaussians), generator=torch.Generator().manual_seed(0))
    first, first_gradients = render_with_gradients(gaussians, cameras)
    again, again_gradients = render_with_gradients(gaussians[order], cameras)
    for name in IMAGES:
        torch.testing.assert_close(getattr(again, name), getattr(first, name), rtol=1e-5, atol=1e-5)
    for name in PARAMETERS:
        torch.testing.assert_close(again_gradients[name], first_gradients[name][order], rtol=1e-3, atol=1e-3)


def test_views_do_not_mix(scene) -> None:
    gaussians, cameras = scene
    together = render(gaussians, cameras)
    for view in range(len(cameras)):
        alone = render(gaussians, cameras[view : view + 1])
        for name in IMAGES:
            torch.testing.assert_close(getattr(alone, name)[0], getattr(together, name)[view], rtol=1e-5, atol=1e-5)


def test_background(scene) -> None:
    gaussians, cameras = scene
    white, black = render(gaussians, cameras), render(gaussians, cameras, torch.zeros(3))
    torch.testing.assert_close(white.rgb - black.rgb, (1 - white.alpha).expand(-1, -1, -1, 3))
    assert torch.equal(white.depth, black.depth)
    nothing = white.alpha == 0
    assert nothing.any()
    assert (white.rgb[nothing.expand_as(white.rgb)] == 1).all()
    assert (white.depth[nothing] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_gaussians(dtype: torch.dtype) -> None:
    gaussians, cameras = with_grad(shell(10)[:0].to(dtype)), ring_cameras(2, 20, 10, dtype)
    viewmats = cameras.viewmats.clone().requires_grad_()
    output = render(gaussians, replace(cameras, viewmats=viewmats), torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(output.rgb, torch.tensor([0.1, 0.2, 0.3]).to(dtype).expand(2, 10, 20, 3))
    assert not output.alpha.any()
    assert not output.depth.any()
    (output.rgb.sum() + output.depth.sum()).backward()
    assert all(getattr(gaussians, name).grad.shape == getattr(gaussians, name).shape for name in PARAMETERS)
    assert viewmats.grad is not None
    assert not viewmats.grad.any()


def test_gaussians_that_no_view_sees_cost_nothing_and_change_nothing(scene) -> None:
    gaussians, cameras = scene
    hidden = replace(gaussians, means=gaussians.means + torch.tensor([0.0, 50.0, 0.0]))
    first = render(gaussians, cameras)
    more, more_gradients = render_with_gradients(Gaussians.cat([gaussians, hidden]), cameras)
    torch.testing.assert_close(more.rgb, first.rgb, rtol=1e-5, atol=1e-5)
    for name in PARAMETERS:
        assert not more_gradients[name][len(gaussians) :].any(), name


def test_half_precision_and_autocast_do_not_reach_the_arithmetic(scene) -> None:
    gaussians, cameras = scene
    expected = render(gaussians, cameras)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = render(gaussians, cameras)
    assert torch.equal(found.rgb, expected.rgb)
    halves = render(gaussians.to(torch.bfloat16), cameras)
    assert halves.rgb.dtype == torch.float32
    assert torch.equal(halves.rgb, render(gaussians.to(torch.bfloat16).to(torch.float32), cameras).rgb)


def test_only_what_is_asked_for_needs_gradients(scene) -> None:
    gaussians, cameras = scene
    colors = gaussians.colors.clone().requires_grad_()
    render(replace(gaussians, colors=colors), cameras).rgb.square().sum().backward()
    assert colors.grad is not None
    assert colors.grad.abs().sum() > 0
    assert not render(gaussians, cameras).rgb.requires_grad


def test_the_first_image_is_announced_once(scene, caplog) -> None:
    cpu._announce.cache_clear()
    with caplog.at_level(logging.INFO, logger="hgg_pyg"):
        render(*scene)
        render(*scene)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_counted_by_field(scene, name: str, value: float) -> None:
    gaussians, cameras = scene
    tensor = getattr(gaussians, name).clone()
    tensor.view(-1)[[3, 5]] = value
    with pytest.raises(ValueError, match=rf"Gaussians\.{name} holds 2 NaN or infinite numbers among {tensor.numel()}"):
        render(replace(gaussians, **{name: tensor}), cameras)


@pytest.mark.parametrize("value", [1e12, 1e70, 1e150, 1e300])
@pytest.mark.parametrize("name", ["means", "scales"])
def test_gaussians_that_have_exploded_index_nothing(name: str, value: float) -> None:
    """As those of a network that diverges, before a number is infinite."""
    gaussians, cameras = shell(40), ring_cameras(2, 40, 30)
    tensor = getattr(gaussians, name).clone()
    tensor[::5, 0] = value
    tensor[1::5, 2] = value if name == "scales" else -value
    gaussians = with_grad(replace(gaussians, **{name: tensor}))
    found = render(gaussians, cameras)
    assert found.rgb.isfinite().all()
    found.rgb.sum().backward()


def test_numbers_that_are_none_in_a_camera(scene) -> None:
    gaussians, cameras = scene
    with pytest.raises(ValueError, match=r"Cameras\.Ks holds 27"):
        render(gaussians, replace(cameras, Ks=cameras.Ks / 0))


def test_shapes_and_names_that_do_not_fit(scene) -> None:
    gaussians, cameras = scene
    with pytest.raises(ValueError, match=r"background of 3 channels, found \(4,\)"):
        render(gaussians, cameras, torch.ones(4))
    with pytest.raises(ValueError, match=r"for each of \(\), found \(1,\)"):
        render(gaussians, cameras.map(lambda tensor: tensor[None]))
    with pytest.raises(ValueError, match='"rgb\\+d" or "rgb\\+ed", found "depth"'):
        render_images(gaussians, cameras, mode="depth")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='found "cuda"'):
        render(gaussians, cameras, backend="cuda")  # type: ignore[arg-type]


def test_gsplat_is_refused_tensors_on_a_cpu(scene) -> None:
    with pytest.raises(UserError, match=r'needs tensors on a CUDA device, found cpu; .*"cpu"'):
        render(*scene, backend="gsplat")


def on_cuda() -> MagicMock:
    """A stand-in for a scene on a CUDA device."""
    scene = MagicMock()
    scene.means.is_cuda = True
    return scene


def test_a_missing_gsplat_is_said(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(UserError, match="pip install"):
        gsplat_backend.render_scene(on_cuda())


def test_a_gsplat_without_kernels_is_said(monkeypatch) -> None:
    def rasterization(**_: object) -> None:
        None.fully_fused_projection  # type: ignore[attr-defined]  # noqa: B018

    monkeypatch.setitem(sys.modules, "gsplat", MagicMock(rasterization=rasterization))
    with pytest.raises(UserError, match="CUDA toolkit"):
        gsplat_backend.render_scene(on_cuda())


def test_gsplat_is_called_by_names_it_has(monkeypatch) -> None:
    import gsplat

    signature, calls = inspect.signature(gsplat.rasterization), []

    def rasterization(**arguments: object) -> tuple[torch.Tensor, torch.Tensor, dict]:
        calls.append(signature.bind(**arguments))
        rendered = torch.arange(4.0).expand(1, 2, 2, 4)
        return rendered, torch.ones(1, 2, 2, 1), {}

    monkeypatch.setattr(gsplat, "rasterization", rasterization)
    scene = on_cuda()
    rendered = gsplat_backend.render_scene(scene)
    color, alpha, depth = rendered.color, rendered.alpha, rendered.depth
    assert depth is not None
    assert len(calls) == 1
    assert calls[0].arguments["eps2d"] is scene.eps2d
    assert color[0, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert depth[0, 0, 0].tolist() == [3.0]
    assert alpha.shape == depth.shape


def test_no_gaussians_are_not_shown_to_gsplat() -> None:
    gaussians, cameras = with_grad(shell(10)[:0]), ring_cameras(2, 20, 10)
    rendered = gsplat_backend.nothing(make_scene(gaussians, cameras, "rgb+d"))
    color, alpha, depth = rendered.color, rendered.alpha, rendered.depth
    assert depth is not None
    assert (color.shape, alpha.shape, depth.shape) == ((1, 2, 10, 20, 3), (1, 2, 10, 20, 1), (1, 2, 10, 20, 1))
    (color.sum() + depth.sum()).backward()
    assert gaussians.means.grad is not None
    assert not color.any()


def test_rendering_on_a_cpu_imports_no_gsplat_and_leaves_torch_its_threads() -> None:
    program = """
import sys, torch
torch.set_num_threads(1)
from hgg_pyg.render import render
assert "gsplat" not in sys.modules
from hgg_pyg.types import Cameras, Gaussians
dot = Gaussians(torch.zeros(1, 3), torch.ones(1, 4), torch.ones(1, 3), torch.ones(1), torch.ones(1, 3))
camera = Cameras(torch.eye(4)[None], torch.eye(3)[None], 2, 2)
render(dot, camera)
assert "gsplat" not in sys.modules
assert torch.get_num_threads() == 1
"""
    done = python.run("-c", program, fresh=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("channels", [3, 40])
def test_gsplat_renders_what_the_cpu_renders(channels: int) -> None:
    here, cameras = with_grad(shell(3000, channels).to(torch.float32)), ring_cameras(2, 200, 130, torch.float32)
    there = with_grad(here.to("cuda"))
    found, expected = render(there, cameras), render(here, cameras)
    assert found.rgb.is_cuda
    for name in IMAGES[:2]:
        error = (getattr(found, name).cpu() - getattr(expected, name)).abs().flatten()
        assert error.kthvalue(int(0.999 * len(error))).values < 2e-5, name
        assert (error > 1e-3).double().mean() < 1e-4, name
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(expected.rgb.shape, generator=generator)
    for output in (found, expected):
        ((output.rgb * weights.to(output.rgb)).sum() + output.depth.sum()).backward()
    for name in PARAMETERS:
        here_gradient, there_gradient = getattr(here, name).grad, getattr(there, name).grad.cpu()
        assert (there_gradient - here_gradient).norm() < 1e-3 * here_gradient.norm(), name
    empty = render(there[:0], cameras)
    assert torch.equal(empty.rgb, torch.ones_like(empty.rgb))
