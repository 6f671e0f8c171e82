from dataclasses import replace

import pytest
import torch

from hgg_pyg.types import BodyPose, Cameras, Gaussians

GAUSSIANS = Gaussians(torch.zeros(5, 3), torch.zeros(5, 4), torch.ones(5, 3), torch.ones(5), torch.ones(5, 3))


def test_wrong_shapes_name_the_field():
    with pytest.raises(ValueError, match=r"Gaussians\.quats: expected \(5, 4\), found \(5, 3\)"):
        replace(GAUSSIANS, quats=torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"Gaussians\.opacities: expected \(5,\), found \(4,\)"):
        replace(GAUSSIANS, opacities=torch.ones(4))
    with pytest.raises(ValueError, match=r"Gaussians\.features"):
        replace(GAUSSIANS, features=torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"Cameras\.Ks: expected \(2, 3, 3\), found \(1, 3, 3\)"):
        Cameras(torch.eye(4).repeat(2, 1, 1), torch.eye(3)[None], 8, 8)
    with pytest.raises(ValueError, match="positive size"):
        Cameras(torch.eye(4)[None], torch.eye(3)[None], 0, 8)
    with pytest.raises(ValueError, match=r"BodyPose\.transl: expected \(2, 3\), found \(1, 3\)"):
        BodyPose(torch.zeros(10), torch.zeros(2, 3), torch.zeros(2, 69), torch.zeros(1, 3))
    for wrong, found in ((torch.zeros(1, 10), r"\(1, 10\)"), (torch.zeros(2), r"\(2,\)")):
        with pytest.raises(ValueError, match=rf"BodyPose\.expression: expected \(2, E\), found {found}"):
            BodyPose(torch.zeros(10), torch.zeros(2, 3), torch.zeros(2, 69), torch.zeros(2, 3), wrong)


def test_selecting_moving_and_joining():
    """Every field, each with numbers of its own, goes the same way."""
    numbers = iter(torch.arange(70.0).split([15, 20, 15, 5, 15]))
    gaussians = GAUSSIANS.map(lambda field: next(numbers).view(field.shape))
    assert len(gaussians) == 5
    both = Gaussians.cat([gaussians, gaussians[3:4]])
    batch = gaussians.map(lambda field: torch.stack([field, 2 * field, 3 * field]))
    assert (len(both), len(batch), both.features) == (6, 5, None)
    for name in ("means", "quats", "scales", "opacities", "colors"):
        field = getattr(gaussians, name)
        assert torch.equal(getattr(gaussians[1:3], name), field[1:3])
        assert torch.equal(getattr(both, name), field[[0, 1, 2, 3, 4, 3]])
        assert torch.equal(getattr(batch[1], name), 2 * field)
        assert getattr(gaussians.to(torch.float64), name).dtype == torch.float64
    featured = replace(gaussians, features=torch.arange(10.0).view(5, 2))
    joined = Gaussians.cat([featured[4:], featured[:1]]).features
    assert joined is not None
    assert joined.tolist() == [[8, 9], [0, 1]]


def test_frames_of_a_pose_are_selected_with_their_expression():
    rows = torch.arange(4.0)[:, None]
    pose = BodyPose(torch.zeros(10), rows.expand(4, 3), rows.expand(4, 162), rows.expand(4, 3))
    assert pose[1:3].expression is None
    smile = replace(pose, expression=rows.expand(4, 10)).to(torch.float64)
    for item in (slice(1, 3), [1, 2], torch.tensor([1, 2])):
        some = smile[item]
        assert len(some) == 2
        assert some.expression is not None
        assert some.expression[:, 0].tolist() == some.transl[:, 0].tolist() == [1, 2]
        assert some.expression.dtype == torch.float64


def test_camera_centers_are_where_the_camera_sees_itself():
    view = torch.eye(4)
    view[:3, :3] = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    view[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    cameras = Cameras(view[None], torch.eye(3)[None], 4, 4)
    seen = view[:3, :3] @ cameras.centers[0] + view[:3, 3]
    assert torch.allclose(seen, torch.zeros(3), atol=1e-6)
