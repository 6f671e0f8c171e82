"""The animator against `BoundAvatar.repose`."""

from dataclasses import replace

import pytest
import torch

from hgg_pyg.avatar import Animator, BoundAvatar
from hgg_pyg.body import BodyModel
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.types import BodyPose, Gaussians, UserError


def subject(body: BodyModel) -> tuple[BoundAvatar, BodyPose]:
    """An avatar that is not of the mean shape, in two poses of someone of another shape."""
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(10, generator=generator)
    binding = torch.randint(body.num_vertices, (500,), generator=generator)
    gaussians = Gaussians(
        means=body.shaped_vertices(betas)[binding] + 0.01,
        quats=torch.randn(500, 4, generator=generator),
        scales=torch.rand(500, 3, generator=generator),
        opacities=torch.rand(500, generator=generator),
        colors=torch.rand(500, 3, generator=generator),
    )
    angles = 0.3 * torch.randn(2, 3 * body.num_joints, generator=generator)
    pose = BodyPose(torch.zeros(10), angles[:, :3], angles[:, 3:], torch.randn(2, 3, generator=generator))
    return BoundAvatar(gaussians, binding, betas), pose


def assert_same(found: Gaussians, expected: Gaussians) -> None:
    for name in ("means", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6)


COMPILED = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.mark.filterwarnings("ignore:.*_prims_common.check.*is deprecated:FutureWarning")  # inductor's own
@pytest.mark.parametrize("compiled", COMPILED)
def test_the_animator_is_repose(compiled: bool, body: BodyModel) -> None:
    avatar, pose = subject(body)
    assert_same(Animator(avatar, body, compiled)(pose), avatar.repose(body, pose))


@pytest.mark.filterwarnings("ignore:.*_prims_common.check.*is deprecated:FutureWarning")
@pytest.mark.parametrize("compiled", COMPILED)
def test_the_animator_is_repose_with_an_expression(compiled: bool) -> None:
    body = BodyModel(open_smplx())
    avatar, pose = subject(body)
    animator = Animator(avatar, body, compiled)
    smile = replace(pose, expression=torch.tensor([[0.0, 3.0, 0.0, 1.0], [-2.0, 0.0, 5.0, 0.0]]))
    for each in (pose, smile, pose):  # with and without in turn
        assert_same(animator(each), avatar.repose(body, each))
    assert (animator(smile).means - animator(pose).means).abs().max() > 1e-3


def test_a_pose_of_another_body_is_refused(body: BodyModel) -> None:
    avatar, pose = subject(body)
    wrong = BodyPose(pose.betas, pose.global_orient, pose.body_pose[:, :-3], pose.transl)
    with pytest.raises(UserError, match="body_pose: this body has 24 joints and expects 69 values per frame, found 66"):
        Animator(avatar, body)(wrong)
    smile = replace(pose, expression=torch.zeros(2, 10))
    with pytest.raises(UserError, match="expression: this body has 0 expression directions, found 10 values per frame"):
        Animator(avatar, body)(smile)
