"""Cameras that were turned and moved are put right by masks; right ones stay to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.refine import RefineConfig
from hgg_pyg.refine.cameras import place_cameras
from hgg_pyg.refine.figure import Figure, moved_viewmats
from hgg_pyg.refine.likeness import bare_body
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.capture_writer import write_subject
from hgg_pyg.types import Cameras

FRAMES = (0, 1, 2, 3, 4, 5)
TURNS = torch.tensor([[0.0, 0, 0], [2.0, -1, 0], [-1.0, 2, 1], [0.0, -2, 1]])  # degrees


@pytest.fixture(scope="module")
def source(body, tmp_path_factory) -> FrameSource:
    out = tmp_path_factory.mktemp("cameras") / "captures"
    config = SynthesizeConfig(out=out, subjects=3, frames=6, views=5, size=96, clothes="bodysuit")
    write_subject(config, 0, body, lambda count: None)
    folder = next(iter(find_subjects(out).values()))
    capture = make_capture(folder.folder, folder.layout, body, 96, False)
    backbone = make_backbone(BackboneConfig(), torch.device("cpu"))
    return FrameSource(capture, (0, 1, 2, 4), backbone, body, out)


def turned(source: FrameSource) -> FrameSource:
    viewmats, rows = source.capture.cameras.viewmats.clone(), list(source.cameras)
    viewmats[rows] = moved_viewmats(viewmats[rows], torch.cat([TURNS, 0 * TURNS], 1))
    return replace(source, capture=source.capture.with_viewmats(viewmats))


def off(source: FrameSource, viewmats: torch.Tensor) -> torch.Tensor:
    """How far the person's middle is from where the true cameras see it, over its distance. [V]"""
    middles = source.body.pose(source.capture.poses[list(FRAMES)]).vertices.mean(1)
    rows = list(source.cameras)
    seen = [
        torch.einsum("vab,fb->vfa", view[rows, :3, :3], middles) + view[rows, None, :3, 3]
        for view in (viewmats, source.capture.cameras.viewmats)
    ]
    places = [points[..., :2] / points[..., 2:] for points in seen]
    return (places[0] - places[1]).norm(dim=-1).mean(1)


def test_turned_cameras_come_nearer_to_where_they_were(source) -> None:
    wrong = turned(source)
    config = RefineConfig(seconds=None, steps=80, camera_degrees_rate=0.1)
    placed = place_cameras(wrong, FRAMES, config, wrong.cameras)
    assert placed.changed
    before, after = (off(source, views) for views in (wrong.capture.cameras.viewmats, placed.viewmats))
    assert after.mean() < 0.7 * before.mean()
    assert max(placed.turned) > 0.5
    others = [camera for camera in range(len(source.capture.cameras)) if camera not in source.cameras]
    assert torch.equal(placed.viewmats[others], wrong.capture.cameras.viewmats[others])


def test_cameras_that_are_right_stay_to_the_bit_with_poses_and_shape(source) -> None:
    placed = place_cameras(source, FRAMES, RefineConfig(seconds=None, steps=40), source.cameras)
    assert not placed.changed
    assert torch.equal(placed.viewmats, source.capture.cameras.viewmats)
    for name in ("global_orient", "body_pose", "transl", "betas"):
        given = getattr(source.capture.poses[list(FRAMES)], name)
        assert torch.equal(getattr(placed.poses, name), given)
    assert placed.turned == placed.moved == (0.0,) * 4


def test_one_camera_is_refused(source) -> None:
    with pytest.raises(ValueError, match="expected two or more, found one"):
        place_cameras(source, FRAMES, RefineConfig(), (0,))


def test_cameras_turn_about_their_own_axes_and_move_along_them() -> None:
    viewmats = torch.eye(4).repeat(2, 1, 1, 1)
    viewmats[..., 2, 3] = 3.0
    changes = torch.tensor([[0.0, 90, 0, 0, 0, 0], [0.0, 0, 0, 0.1, 0.2, 0.3]])
    moved = moved_viewmats(viewmats, changes)
    torch.testing.assert_close(moved[0, 0, :3, 3], torch.tensor([3.0, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[1, 0, :3, 3], torch.tensor([0.1, 0.2, 3.3]))
    assert torch.autograd.gradcheck(
        lambda values: moved_viewmats(viewmats.double(), values), changes.double().requires_grad_()
    )


def test_a_figure_without_cameras_to_fit_leaves_them(source) -> None:
    poses = source.capture.poses[[0]]
    figure = Figure(bare_body(source.body, poses.betas), source.body, poses, 4)
    cameras = Cameras(torch.eye(4).repeat(4, 1, 1), torch.eye(3).repeat(4, 1, 1), 8, 8)
    assert figure.seen_by(cameras, range(4)) is cameras
    figure.rig[2, 3] = 0.1
    assert [float(x) for x in figure.seen_by(cameras, range(4)).viewmats[:, 0, 3]] == [0, 0, pytest.approx(0.1), 0]
