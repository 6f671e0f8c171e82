"""Small avatars for tests."""

import torch

from hgg_pyg.avatar import Avatar, BoundAvatar, Motion, Seen
from hgg_pyg.body import BodyModel
from hgg_pyg.types import Gaussians


def bound_avatar(body: BodyModel, count: int = 300) -> BoundAvatar:
    """Splats of random colours all over a body that is not of the mean shape, flat on its skin."""
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(10, generator=generator)
    binding = torch.randint(body.num_vertices, (count,), generator=generator)
    gaussians = Gaussians(
        means=body.shaped_vertices(betas)[binding] + 0.01,
        quats=torch.randn(count, 4, generator=generator),
        scales=0.01 + 0.02 * torch.rand(count, 3, generator=generator),
        opacities=torch.rand(count, generator=generator),
        colors=torch.rand(count, 3, generator=generator),
    )
    return BoundAvatar(gaussians, binding, betas)


def some_motion(joints: int, frames: int = 5, name: str = "captured") -> Motion:
    """A motion that bends every joint a little."""
    generator = torch.Generator().manual_seed(1)
    angles = 0.3 * torch.randn(frames, 3 * joints, generator=generator)
    transl = 0.2 * torch.randn(frames, 3, generator=generator)
    return Motion(name, 10.0, angles[:, :3], angles[:, 3:], transl, torch.eye(4))


def small_avatar(body: BodyModel, count: int = 300) -> Avatar:
    """One with a motion, seen by cameras of 300 pixels' focal length from 3 metres away."""
    about = {"capture": "somebody", "licence": "none"}
    return bound_avatar(body, count).rig(body, Seen(300.0, 3.0), [some_motion(body.num_joints)], about)
