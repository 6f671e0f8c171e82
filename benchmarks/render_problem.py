"""Scenes and their rasterisers: our CPU kernels, gsplat's torch code, tiles under autograd, gsplat on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from benchmarks import gsplat_torch, torch_tiles
from benchmarks.suite import Contestant
from hgg_pyg.avatar import Animator, BoundAvatar
from hgg_pyg.body import load_body
from hgg_pyg.render import render
from hgg_pyg.render.scene import Rendered, Scene, compose, make_scene
from hgg_pyg.types import BodyPose, Cameras, Gaussians

OURS, GSPLAT, AUTOGRAD, CUDA = "ours", "gsplat torch code", "autograd tiles", "gsplat CUDA"
RASTERISERS = (OURS, GSPLAT, AUTOGRAD, CUDA)
_TOLERANCE = 1e-3
_FLIPPED = 0.001  # the share of numbers where rounding may flip a decision at a threshold


@dataclass(frozen=True)
class RenderCase:
    """One point of the benchmark."""

    gaussians: int = 65_536
    size: int = 512
    """width and height"""
    views: int = 1
    threads: int = 1
    device: str = "cpu"


def person_sized_shell(count: int, seed: int = 0) -> Gaussians:
    """Gaussians on an ellipsoid as large as a person, standard deviations of 5 to 20 mm."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return Gaussians(
        means=directions * torch.tensor([0.5, 0.9, 0.5]),
        quats=torch.randn(count, 4, generator=generator),
        scales=0.005 * 4 ** torch.rand(count, 3, generator=generator),
        opacities=0.3 + 0.69 * torch.rand(count, generator=generator),
        colors=torch.rand(count, 3, generator=generator),
    )


def ring_cameras(views: int, size: int) -> Cameras:
    """Cameras on a circle of three metres, each of which sees all of a person at the origin."""
    angle = torch.arange(views) * (2 * torch.pi / views)
    viewmats = torch.eye(4).repeat(views, 1, 1)
    viewmats[:, 0, 0], viewmats[:, 0, 2] = torch.cos(angle), -torch.sin(angle)
    viewmats[:, 2, 0], viewmats[:, 2, 2], viewmats[:, 2, 3] = torch.sin(angle), torch.cos(angle), 3.0
    focal = 1.42 * size
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(viewmats, K.repeat(views, 1, 1), size, size)


class RenderProblem:
    """One avatar-like shell in some views, forward and backward. See `RenderCase`."""

    def __init__(self, case: RenderCase) -> None:
        self.case, self.device = case, case.device
        torch.set_num_threads(case.threads)
        self.gaussians = person_sized_shell(case.gaussians).to(case.device)
        self.cameras = ring_cameras(case.views, case.size).to(case.device)
        shape = (case.views, case.size, case.size, 3)
        self.upstream = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(case.device)

    @cached_property
    def truth(self) -> list[Tensor]:
        """The images and the gradients in float64, by our kernels on a CPU, which the tests hold against others."""
        cameras = self.cameras.to("cpu", torch.float64)
        found = self._run(_our_kernels, self.gaussians.to("cpu", torch.float64), cameras)
        return [x.to(self.device) for x in found]

    def prepare(self) -> None:
        """Compute what the checks need."""
        assert self.truth

    def contestant(self, name: str) -> Contestant:
        """The rasteriser of a name."""
        rasterizer = {OURS: _our_kernels, CUDA: render_rgb}.get(name) or _by(
            {GSPLAT: gsplat_torch.render_scene, AUTOGRAD: torch_tiles.render_scene}[name]
        )

        def forward() -> object:
            with torch.no_grad():
                return rasterizer(self.gaussians, self.cameras)

        def forward_backward() -> list[Tensor]:
            return self._run(rasterizer, self.gaussians, self.cameras)

        def check(found: list[Tensor]) -> float:
            return max(trimmed_error(a.double(), b) for a, b in zip(found, self.truth, strict=True))

        return Contestant(forward, forward_backward, check, _TOLERANCE)

    def _run(
        self, rasterizer: Callable[[Gaussians, Cameras], Tensor], gaussians: Gaussians, cameras: Cameras
    ) -> list[Tensor]:
        """[V, H, W, 3] images, then the gradients of every field."""
        moving = gaussians.map(lambda tensor: tensor.detach().requires_grad_())
        leaves = [x for x in (getattr(moving, f.name) for f in fields(moving)) if x is not None]
        images = rasterizer(moving, cameras)
        return [images.detach(), *torch.autograd.grad(images, leaves, self.upstream.to(images))]


def trimmed_error(found: Tensor, truth: Tensor) -> float:
    """Relative L2 error of all numbers but the thousandth of them that is furthest off."""
    error = (found - truth).abs().flatten().sort().values
    return float(error[: max(1, round(len(error) * (1 - _FLIPPED)))].norm() / truth.norm())


def render_rgb(gaussians: Gaussians, cameras: Cameras) -> Tensor:
    """By the backend of the device."""
    return render(gaussians, cameras).rgb


def _our_kernels(gaussians: Gaussians, cameras: Cameras) -> Tensor:
    return render(gaussians, cameras, backend="cpu").rgb


def _by(rasterizer: Callable[[Scene], Rendered]) -> Callable[[Gaussians, Cameras], Tensor]:
    return lambda gaussians, cameras: compose(rasterizer(make_scene(gaussians, cameras)), None, "rgb", ()).rgb


POSE, COMPILED, DRAW = "pose", "pose, compiled", "draw"
FRAME, COMPILED_FRAME = "pose and draw", "pose, compiled, and draw"
POSED = (POSE, COMPILED, DRAW, FRAME, COMPILED_FRAME)


class PosingProblem:
    """Frames of an animated avatar: skinning and one image, without gradients. See `RenderCase`."""

    def __init__(self, case: RenderCase) -> None:
        self.case, self.device = case, case.device
        torch.set_num_threads(case.threads)
        self.body = load_body().to(case.device)
        generator = torch.Generator().manual_seed(0)
        joints = self.body.num_joints
        self.avatar = clothed_body(self.body.shaped_vertices(torch.zeros(10, device=case.device)), case.gaussians)
        self.motion = BodyPose(
            betas=self.avatar.betas,
            global_orient=torch.zeros(8, 3),
            body_pose=0.15 * torch.randn(8, 3 * (joints - 1), generator=generator),
            transl=torch.zeros(8, 3),
        ).to(case.device)
        self.cameras = ring_cameras(case.views, case.size).to(case.device)
        self.animator, self.compiled = (Animator(self.avatar, self.body, compiled) for compiled in (False, True))
        self._frame = 0

    def prepare(self) -> None:
        """Nothing: what is rendered is checked elsewhere."""

    def contestant(self, name: str) -> Contestant:
        """A part of the work of a frame, or all of it."""

        animator = self.compiled if name in (COMPILED, COMPILED_FRAME) else self.animator

        def pose() -> Gaussians:
            self._frame = (self._frame + 1) % len(self.motion)
            return animator(self.motion[self._frame : self._frame + 1])[0]

        still = self.avatar.gaussians
        work = {
            POSE: pose,
            DRAW: lambda: render_rgb(still, self.cameras),
            FRAME: lambda: render_rgb(pose(), self.cameras),
        }[{COMPILED: POSE, COMPILED_FRAME: FRAME}.get(name, name)]
        return Contestant(torch.no_grad()(work), None, None)


def clothed_body(vertices: Tensor, count: int, seed: int = 0) -> BoundAvatar:
    """An avatar of Gaussians about a body's rest vertices [N, 3]: as many on each, 1 cm off it, 3 to 12 mm large."""
    generator = torch.Generator().manual_seed(seed)
    binding = torch.arange(count) % len(vertices)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(vertices.device)

    gaussians = Gaussians(
        means=vertices[binding] + 0.01 * draw(count, 3),
        quats=draw(count, 4),
        scales=0.006 * 2 ** draw(count, 3).clamp(-1, 1),
        opacities=draw(count).sigmoid(),
        colors=draw(count, 3).sigmoid(),
    )
    return BoundAvatar(gaussians, binding.to(vertices.device), torch.zeros(10, device=vertices.device))
