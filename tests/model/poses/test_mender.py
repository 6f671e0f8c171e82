"""Poses as part of the graph: what joints are told, and what is made of it."""

from dataclasses import replace

import pytest
import torch

from graphs import BENDS, JOINT, LASTS, joint_graph
from hgg_pyg.body import BodyModel
from hgg_pyg.body.blending import blend
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.body.skin_points import skin_points
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.poses import fast_sums
from hgg_pyg.model.poses.evidence import (
    joint_evidence,
    joint_forces,
    joint_sums,
    shape_evidence,
    shape_pull,
    sums_by_products,
)
from hgg_pyg.model.poses.mender import PoseMender
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.model.poses.pulls import Pulls, look, start_colors
from hgg_pyg.model.poses.stance import Stance, axis_angle, corrected
from hgg_pyg.nn.conv_choice import ConvChoice
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, Cameras, Gaussians

POINTS = 300
SIDE = 48


def ring(views):
    """Cameras around the origin, two metres and a half away."""
    found = []
    for view in range(views):
        angle = torch.tensor(2 * torch.pi * view / views)
        forward = torch.stack([-angle.sin(), torch.zeros(()), -angle.cos()])
        down = torch.tensor([0.0, -1.0, 0.0])
        rotation = torch.stack([torch.linalg.cross(down, forward), down, forward])
        viewmat = torch.eye(4)
        viewmat[:3, :3], viewmat[:3, 3] = rotation, rotation @ (2.5 * forward)
        found.append(viewmat)
    K = torch.tensor([[SIDE * 1.1, 0, SIDE / 2], [0, SIDE * 1.1, SIDE / 2], [0, 0, 1]])
    return Cameras(torch.stack(found), K.expand(views, 3, 3), SIDE, SIDE)


def places(points, stance):
    maps = blend(points.weights, stance.maps, stance.transl)
    return (maps[..., :3, :3] @ points.shaped(stance.betas)[..., None])[..., 0] + maps[..., :3, 3]


def drawn(points, stance, colors, cameras):
    """What the images would be if the person were these points."""
    means = places(points, stance)
    frames, count = means.shape[:2]
    found = render(
        Gaussians(
            means=means,
            quats=torch.tensor([1.0, 0, 0, 0]).expand(frames, count, 4),
            scales=points.sigma[:, None].expand(frames, count, 3),
            opacities=torch.full((frames, count), 0.95),
            colors=colors.expand(frames, count, 3),
        ),
        cameras,
        background=torch.ones(3),
    )
    return PoseImages(
        replace(
            cameras, viewmats=cameras.viewmats.expand(frames, -1, -1, -1), Ks=cameras.Ks.expand(frames, -1, -1, -1)
        ),
        found.rgb,
        found.alpha,
    )


@pytest.fixture(scope="module")
def points(body):
    return skin_points(body, POINTS)


@pytest.fixture
def poses(make_pose):
    made = make_pose(2)
    return replace(made, betas=0.3 * made.betas, transl=0.05 * made.transl, global_orient=0.2 * made.global_orient)


@pytest.fixture
def colors():
    return torch.rand(POINTS, 3, generator=torch.Generator().manual_seed(3))


def mender(**changes):
    convs = ConvChoice("auto")
    return PoseMender(16, 24, 2, lambda: convs.make((16, 16), 16, 4, same_nodes=True), **changes)


def test_points_lie_under_the_skin_and_are_found_once(body, points):
    assert skin_points(body, POINTS) is points
    assert len(points.chosen.unique()) == POINTS
    away = (points.rest - body.v_template[points.chosen]).norm(dim=-1)
    torch.testing.assert_close(away, 1.9 * points.sigma)


def test_joints_are_linked_along_the_tree_and_over_time(body):
    graph = joint_graph(body.chain, 3)
    assert graph[JOINT].num_nodes == 72
    assert graph[BENDS].edge_index.shape[1] == 3 * (24 + 2 * 23)
    source, target = graph[BENDS].edge_index
    assert torch.equal(graph[JOINT].frame[source], graph[JOINT].frame[target])
    for a, b in zip(graph[JOINT].joint_id[source].tolist(), graph[JOINT].joint_id[target].tolist(), strict=True):
        assert a == b or body.chain[a] == b or body.chain[b] == a
    assert graph[LASTS].edge_index.shape[1] == 24 * 9
    source, target = graph[LASTS].edge_index
    assert torch.equal(graph[JOINT].joint_id[source], graph[JOINT].joint_id[target])
    for edges in (graph[BENDS].edge_index, graph[LASTS].edge_index):
        order = edges[1] * 72 + edges[0]
        assert (order.diff() > 0).all()


def test_rotations_come_back_as_axis_and_angle():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1).double()
    vectors = vectors * torch.linspace(0, 3.1, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(axis_angle(rotation_matrices(vectors)), vectors, rtol=0, atol=1e-5)


def test_torques_and_forces_are_gradients_by_turns_and_shifts(body, points, poses):
    stance = Stance.of(body, poses)
    pulls = torch.randn(2, POINTS, 3, generator=torch.Generator().manual_seed(1))
    nothing = torch.zeros(2, POINTS)
    with torch.no_grad():
        found = Pulls(places(points, stance), pulls, nothing + 1, nothing, nothing, nothing, torch.zeros(POINTS, 3))
    turn, shift = torch.zeros(2, 24, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    betas = torch.zeros(10, requires_grad=True)
    moved = places(points, stance.turned(turn, shift, betas))
    expected = torch.autograd.grad((moved * pulls).sum(), (turn, shift, betas))
    forces = joint_forces(stance, joint_sums(points, stance, found))
    torch.testing.assert_close(forces.torque[:, 0], expected[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(forces.force[:, 0, 0], expected[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        shape_pull(points, stance, joint_sums(points, stance, found)), expected[2], rtol=1e-3, atol=1e-3
    )


def test_the_kernel_sums_what_products_with_the_weights_sum(points):
    generator, frames = torch.Generator().manual_seed(4), 3
    given = (
        *(points.weights, points.rest),
        torch.randn(frames, 24, 4, 4, generator=generator),
        torch.randn(2, frames, POINTS, 3, generator=generator),
        torch.randn(4, frames, POINTS, generator=generator),
    )
    assert fast_sums.can_sum(*given)
    for found, expected in zip(fast_sums.sums(*given), sums_by_products(*given), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_images_pull_a_turned_limb_back(body, points, poses, colors):
    truth = Stance.of(body, poses)
    images = drawn(points, truth, colors, ring(4))
    turn = torch.zeros(2, 24, 3)
    turn[:, 16, 2] = 0.15  # the left shoulder
    wrong = truth.turned(turn, torch.zeros(2, 3), torch.zeros(10))
    torque = joint_forces(wrong, joint_sums(points, wrong, look(points, wrong, images, colors))).torque[:, 0, 16, 2]
    assert (torque < 0).all()
    right = joint_forces(truth, joint_sums(points, truth, look(points, truth, images, colors))).torque[:, 0, 16, 2]
    assert right.abs().max() < 0.05 * torque.abs().min()


def test_colours_come_from_the_images(body, points, poses, colors):
    truth = Stance.of(body, poses)
    images = drawn(points, truth, colors, ring(4))
    found = start_colors(images, points)
    errors = []
    for _ in range(4):
        seen = look(points, truth, images, found)
        errors.append(float(seen.wrong.sum()))
        found = seen.colors
    assert errors[-1] < 0.4 * errors[0]
    assert seen.seen.min() >= -1e-4
    assert float(seen.outside.abs().sum() / seen.seen.sum()) < 0.2


def test_evidence_is_finite_where_nothing_is_seen(body, points, poses):
    stance = Stance.of(body, poses)
    zeros = torch.zeros(2, POINTS)
    with torch.no_grad():
        found = Pulls(
            places(points, stance), torch.zeros(2, POINTS, 3), zeros, zeros, zeros, zeros, torch.zeros(POINTS, 3)
        )
    assert joint_evidence(joint_forces(stance, joint_sums(points, stance, found))).isfinite().all()
    assert shape_evidence(points, stance, found, joint_sums(points, stance, found)).isfinite().all()


def test_untrained_poses_come_out_as_they_went_in(body, points, poses, colors):
    images = drawn(points, Stance.of(body, poses), colors, ring(2))
    found = mender()(body, poses, images).poses
    for name in ("betas", "global_orient", "body_pose", "transl"):
        assert torch.equal(getattr(found, name), getattr(poses, name)), name


def test_only_turned_joints_change(body, poses):
    start = Stance.of(body, poses)
    turn = torch.zeros(2, 24, 3)
    turn[1, 5] = 0.1
    found = corrected(poses, start, start.turned(turn, torch.zeros(2, 3), torch.zeros(10)))
    same = (found.body_pose == poses.body_pose).view(2, 23, 3).all(-1)
    assert same.sum() == 2 * 23 - 1
    assert not same[1, 4]


def test_a_mender_learns_to_bring_a_body_back(body, points, poses, colors):
    truth = Stance.of(body, poses)
    images = drawn(points, truth, colors, ring(3))
    torch.manual_seed(0)
    network = mender()
    turn = 0.1 * torch.randn(2, 24, 3)
    given = corrected(poses, truth, truth.turned(turn, torch.zeros(2, 3), torch.zeros(10)))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)

    def away():
        found = network(body, given, images).stances[-1]
        return (places(points, found) - places(points, truth)).norm(dim=-1).mean()

    first = float(away().detach())
    for _ in range(12):
        optimizer.zero_grad()
        away().backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert float(away().detach()) < 0.5 * first


def test_a_network_corrects_poses_or_takes_them_as_they_are(body, points, poses, colors):
    images = drawn(points, Stance.of(body, poses), colors, ring(2))
    config = ModelConfig(num_layers=0, hidden_channels=16)
    plain, mending = HGGNet(config), HGGNet(replace(config, mend=1))
    assert plain.mended(body, poses, images) is poses
    assert torch.equal(mending.mended(body, poses, images).body_pose, poses.body_pose)
    with pytest.raises(ValueError, match="found one with mend 0"):
        plain(None, (body, poses, images))
    with pytest.raises(ValueError, match="expected a body of 55 joints, found 24"):
        HGGNet(replace(config, mend=1, num_joints=55)).mended(body, poses, images)


def test_a_body_of_55_joints_and_more_values_of_shape_than_are_corrected():
    body = BodyModel(open_smplx())
    pose = BodyPose(torch.zeros(12), torch.zeros(1, 3), torch.zeros(1, 162), torch.zeros(1, 3))
    body.shapedirs = torch.nn.functional.pad(body.shapedirs, (0, 12 - body.shapedirs.shape[-1]))
    convs = ConvChoice("auto")
    network = PoseMender(8, 55, 1, lambda: convs.make((8, 8), 8, 2, same_nodes=True))
    torch.nn.init.constant_(network.head[-1].bias, 0.1)
    torch.nn.init.constant_(network.shape_head[-1].bias, 0.1)
    cameras = ring(2)
    cameras = replace(cameras, viewmats=cameras.viewmats[None], Ks=cameras.Ks[None])
    images = PoseImages(cameras, torch.ones(1, 2, SIDE, SIDE, 3), torch.zeros(1, 2, SIDE, SIDE, 1))
    found = network(body, pose, images).poses
    assert found.body_pose.shape == (1, 162)
    assert found.body_pose.any()
    assert found.betas[:10].all()
    assert not found.betas[10:].any()


def test_corrections_within_the_networks_own_error_are_not_made(body, points, poses, colors):
    images = drawn(points, Stance.of(body, poses), colors, ring(2))
    network = mender()
    for bias, changes in ((0.02, False), (0.5, True)):  # of 0.02 m in each of two rounds
        torch.nn.init.zeros_(network.head[-1].bias)
        network.head[-1].bias.data[3] = bias
        found = network(body, poses, images)
        assert torch.equal(found.poses.transl, poses.transl) != changes
        assert not torch.equal(found.stances[-1].transl, poses.transl)
