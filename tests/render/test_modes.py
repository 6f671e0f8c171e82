"""What can be asked of `render` besides one image: depth, antialiasing, harmonics, channels, scenes, sizes."""

from dataclasses import replace

import pytest
import torch

from benchmarks import gsplat_torch, torch_tiles
from benchmarks.gsplat_torch import _torch_impl
from hgg_pyg.render import Mode, reference, render
from hgg_pyg.render.harmonics import harmonics
from hgg_pyg.types import Cameras, Gaussians, RenderOutput
from tests.render.render_scenes import PARAMETERS, gradients, render_by, ring_cameras, shell, with_grad

IMAGES = ("rgb", "alpha", "depth")


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found.double() - expected.double()).norm() / expected.double().norm()).detach())


def assert_equal(found: RenderOutput, expected: RenderOutput, bound: float = 1e-10) -> None:
    for name in IMAGES:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)


def test_modes() -> None:
    gaussians, cameras = shell(100), ring_cameras(2, 40, 30)
    plain, summed, expected = (render(gaussians, cameras, mode=mode) for mode in ("rgb", "rgb+d", "rgb+ed"))
    assert plain.depth is None
    assert summed.depth is not None
    assert expected.depth is not None
    for other in (summed, expected):
        assert torch.equal(other.rgb, plain.rgb)
        assert torch.equal(other.alpha, plain.alpha)
    torch.testing.assert_close(expected.depth * expected.alpha, summed.depth)
    rendered = expected.alpha > 0
    assert (expected.depth[rendered] > 1).all()
    assert (expected.depth[~rendered] == 0).all()


@pytest.mark.parametrize("mode", ["rgb", "rgb+d", "rgb+ed"])
@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("render_scene", [gsplat_torch.render_scene, reference.render_scene, torch_tiles.render_scene])
def test_every_mode_equals_what_others_render(render_scene, mode: Mode, antialiased: bool) -> None:
    """float64: gsplat's torch code, the definition, and tiles under autograd; small Gaussians, so that it matters."""
    gaussians, cameras = with_grad(shell(150, size=0.3)), ring_cameras(2, 50, 37)
    background = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    found = render(gaussians, cameras, background, mode=mode, antialiased=antialiased)
    expected = render_by(render_scene, gaussians, cameras, background, mode=mode, antialiased=antialiased)
    assert_equal(found, expected)
    if antialiased:
        assert (render(gaussians, cameras).alpha - found.alpha).abs().max() > 0.05
    if mode == "rgb+d":  # the slowest of all: once
        ours, theirs = gradients(found, gaussians), gradients(expected, gaussians)
        for name in PARAMETERS:
            assert relative_error(ours[name], theirs[name]) < 1e-8, name


def test_camera_gradients_equal_those_of_gsplats_torch_code() -> None:
    gaussians, cameras = shell(200), ring_cameras(2, 50, 37)
    found = []
    for backend in (lambda g, c: render(g, c, mode="rgb+ed"), lambda g, c: render_by(gsplat_torch.render_scene, g, c)):
        viewmats = cameras.viewmats.clone().requires_grad_()
        output = backend(gaussians, replace(cameras, viewmats=viewmats))
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(output.rgb.shape, generator=generator, dtype=torch.float64)
        ((output.rgb * weights).sum() + output.depth.sum()).backward()
        found.append(viewmats.grad)
    assert relative_error(*found) < 1e-9


@pytest.mark.parametrize("channels", [3, 32])
def test_float32_equals_gsplats_torch_code_in_float32(channels: int) -> None:
    """All but a few pixels, where rounding decides: 0.1 % may be off by 1e-5, 100 in a million by 1e-4."""
    gaussians, cameras = shell(3000, channels, size=0.6).to(torch.float32), ring_cameras(2, 150, 110, torch.float32)
    ours, theirs = with_grad(gaussians), with_grad(gaussians)
    found, expected = render(ours, cameras, mode="rgb+ed"), render_by(gsplat_torch.render_scene, theirs, cameras)
    for name in ("rgb", "alpha"):
        error = (getattr(found, name) - getattr(expected, name)).abs().flatten().sort().values
        assert error[int(0.999 * len(error))] < 1e-5, name
        assert (error > 1e-4).double().mean() < 1e-4, name
    assert relative_error(found.depth, expected.depth) < 1e-5
    exact = with_grad(gaussians.to(torch.float64))
    truth = gradients(render(exact, cameras.to(torch.float64), mode="rgb+ed"), exact)
    mine, other = gradients(found, ours), gradients(expected, theirs)
    for name in PARAMETERS:
        assert relative_error(mine[name], truth[name]) < 3e-4, name
        # gsplat's projection in float32 is itself that far from its own in float64
        assert relative_error(mine[name], other[name]) < max(1e-3, 1.1 * relative_error(other[name], truth[name])), name


def test_thousands_on_one_pixel() -> None:
    """Faint ones, so that hundreds are blended before the pixel ends."""
    count = 5000
    generator = torch.Generator().manual_seed(0)
    gaussians = with_grad(
        Gaussians(
            means=torch.tensor([0, 0, 2.0]) + torch.rand(count, 3, generator=generator) * torch.tensor([0.01, 0.01, 1]),
            quats=torch.randn(count, 4, generator=generator),
            scales=0.001 + 0.002 * torch.rand(count, 3, generator=generator),
            opacities=0.01 + 0.01 * torch.rand(count, generator=generator),
            colors=torch.rand(count, 3, generator=generator),
        ).to(torch.float64)
    )
    cameras = ring_cameras(1, 20, 20)
    cameras = replace(cameras, viewmats=torch.eye(4, dtype=torch.float64)[None])
    found, expected = render(gaussians, cameras, mode="rgb+ed"), render_by(reference.render_scene, gaussians, cameras)
    assert_equal(found, expected)
    ours, theirs = gradients(found, gaussians), gradients(expected, gaussians)
    assert (ours["colors"].abs().sum(1) > 0).sum() > 100
    for name in PARAMETERS:
        assert relative_error(ours[name], theirs[name]) < 1e-9, name


def test_scenes_by_views() -> None:
    """Two by three scenes at once are the same as one after the other, with cameras shared or of their own."""
    scenes = [[shell(60, seed=10 * a + b) for b in range(3)] for a in range(2)]
    fields = (*PARAMETERS,)
    together = with_grad(
        Gaussians(**{n: torch.stack([torch.stack([getattr(g, n) for g in row]) for row in scenes]) for n in fields})
    )
    shared = ring_cameras(2, 40, 30)
    shift = torch.arange(6, dtype=torch.float64).view(2, 3, 1) * 0.05
    viewmats = shared.viewmats.expand(2, 3, -1, -1, -1).clone()
    viewmats[..., 0, 3] += shift
    own = Cameras(viewmats, shared.Ks.expand(2, 3, -1, -1, -1), 40, 30)
    for cameras in (shared, own):
        output = render(together, cameras, mode="rgb+ed")
        assert output.rgb.shape == (2, 3, 2, 30, 40, 3)
        weights = torch.randn(output.rgb.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        found = torch.autograd.grad((output.rgb * weights).sum(), [getattr(together, n) for n in fields])
        for a in range(2):
            for b in range(3):
                gaussians = with_grad(scenes[a][b])
                theirs = cameras if cameras is shared else Cameras(own.viewmats[a, b], own.Ks[a, b], 40, 30)
                alone = render(gaussians, theirs, mode="rgb+ed")
                assert_equal(RenderOutput(*(getattr(output, n)[a, b] for n in IMAGES)), alone)
                expected = torch.autograd.grad(
                    (alone.rgb * weights[a, b]).sum(), [getattr(gaussians, n) for n in fields]
                )
                for name, ours, gradient in zip(fields, found, expected, strict=True):
                    assert relative_error(ours[a, b], gradient) < 1e-10, name


def test_cameras_of_several_sizes() -> None:
    gaussians = shell(50)
    cameras = [ring_cameras(2, 40, 30), ring_cameras(1, 17, 50)]
    found = render(gaussians, cameras)
    assert [tuple(output.rgb.shape) for output in found] == [(2, 30, 40, 3), (1, 50, 17, 3)]
    assert torch.equal(found[1].rgb, render(gaussians, cameras[1]).rgb)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_equal_gsplats(degree: int) -> None:
    generator = torch.Generator().manual_seed(degree)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator, dtype=torch.float64), dim=-1)
    coefficients = torch.randn(50, 16, 3, generator=generator, dtype=torch.float64)
    ours = torch.einsum("nk,nkd->nd", harmonics(directions, degree), coefficients[:, : (degree + 1) ** 2])
    torch.testing.assert_close(ours, _torch_impl._spherical_harmonics(degree, directions, coefficients))


def with_harmonics(count: int) -> Gaussians:
    """Colours of degree 3."""
    generator = torch.Generator().manual_seed(4)
    return replace(shell(count), colors=0.5 * torch.randn(count, 16, 3, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("degree", [0, 3])
def test_colours_follow_the_view(degree: int) -> None:
    """Each view is rendered as if its Gaussians had the colours that gsplat's harmonics give towards its centre."""
    gaussians, cameras = with_harmonics(120), ring_cameras(2, 40, 30)
    output = render(gaussians, cameras, sh_degree=degree)
    for view in range(2):
        directions = gaussians.means - cameras.centers[view]
        colors = (_torch_impl._spherical_harmonics(degree, directions, gaussians.colors) + 0.5).clamp(min=0)
        alone = render(replace(gaussians, colors=colors), cameras[view : view + 1])
        torch.testing.assert_close(output.rgb[view], alone.rgb[0])
    by_view = render_by(gsplat_torch.render_scene, gaussians, cameras, mode="rgb", sh_degree=degree)
    torch.testing.assert_close(output.rgb, by_view.rgb)


def test_gradients_through_harmonics() -> None:
    gaussians, cameras = with_grad(with_harmonics(6)), ring_cameras(2, 16, 12)
    gaussians = replace(gaussians, scales=(gaussians.scales * 5).detach())
    viewmats = cameras.viewmats.clone().requires_grad_()

    def rendered(means: torch.Tensor, colors: torch.Tensor, viewmats: torch.Tensor) -> torch.Tensor:
        scene, seen = replace(gaussians, means=means, colors=colors), replace(cameras, viewmats=viewmats)
        return render(scene.map(lambda x: x), seen, sh_degree=2).rgb.square().sum()

    torch.autograd.gradcheck(rendered, [gaussians.means, gaussians.colors, viewmats], atol=1e-5, rtol=1e-4)


def test_wrong_harmonics_are_said() -> None:
    gaussians, cameras = with_harmonics(5), ring_cameras(1, 8, 8)
    with pytest.raises(ValueError, match="say sh_degree"):
        render(gaussians, cameras)
    with pytest.raises(ValueError, match="sh_degree 0 to 3, found 4"):
        render(gaussians, cameras, sh_degree=4)
    few = replace(gaussians, colors=gaussians.colors[:, :8])
    with pytest.raises(ValueError, match=r"sh_degree 2 needs colours \(..., M, >= 9, 3\), found \(5, 8, 3\)"):
        render(few, cameras, sh_degree=2)
    with pytest.raises(ValueError, match=r"sh_degree 0 needs colours .*found \(5, 3\)"):
        render(shell(5), cameras, sh_degree=0)
