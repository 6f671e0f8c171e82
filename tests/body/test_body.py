"""The body model against the smplx package, on bodies of SMPL's joints."""

from dataclasses import replace

import numpy as np
import pytest
import smplx
import torch
from smplx.lbs import batch_rigid_transform
from smplx.utils import Struct

from hgg_pyg.avatar import Animator, BoundAvatar
from hgg_pyg.body import BodyArrays, BodyModel, fast_blend, fast_chain, load_body, read_body
from hgg_pyg.body.files import DEFAULT_BODY
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.types import BodyPose, Gaussians, UserError


@pytest.fixture(scope="module")
def body():
    return load_body()


def random_pose(frames: int, seed: int = 0, joints: int = 24) -> BodyPose:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, std: float) -> torch.Tensor:
        return std * torch.randn(*shape, generator=generator)

    return BodyPose(
        betas=draw(10, std=1.0),
        global_orient=draw(frames, 3, std=1.0),
        body_pose=draw(frames, (joints - 1) * 3, std=0.3),
        transl=draw(frames, 3, std=1.0),
    )


def reference(arrays: BodyArrays) -> smplx.SMPL:
    """The smplx package's own model of the same arrays."""
    content = {name: getattr(arrays, name) for name in arrays.__dataclass_fields__}
    if not arrays.posedirs.size:
        content["posedirs"] = np.zeros((len(arrays.v_template), 3, (arrays.weights.shape[1] - 1) * 9), np.float32)
    return smplx.SMPL("", data_struct=Struct(**content), num_betas=arrays.shapedirs.shape[-1])


def with_posedirs(arrays: BodyArrays) -> BodyArrays:
    shape = (len(arrays.v_template), 3, (arrays.weights.shape[1] - 1) * 9)
    return replace(arrays, posedirs=0.01 * np.random.default_rng(0).standard_normal(shape, np.float32), is_open=False)


def test_default_body_is_closed_and_symmetric(body):
    import trimesh

    mesh = trimesh.Trimesh(body.shaped_vertices(torch.zeros(10)), body.faces, process=False)
    assert mesh.is_watertight
    assert (body.num_vertices, body.num_joints, len(body.faces)) == (6890, 24, 13776)
    assert (body.kind, body.is_open, body.hands, body.num_expressions) == ("smpl", True, None, 0)
    assert torch.allclose(body.weights.sum(1), torch.ones(6890), atol=1e-6)
    assert body.parents[0] == -1


def test_the_default_body_keeps_its_digest(body):
    """Caches on users' disks are keyed by it."""
    assert body.digest == "4feca20ed037d05f"
    arrays = read_body(DEFAULT_BODY)
    spelled = np.zeros((6890, 3, 207), np.float32)
    assert arrays.posedirs.size == 0
    assert replace(arrays, posedirs=spelled).digest() == body.digest
    spelled[0, 0, 0] = 1
    assert replace(arrays, posedirs=spelled).digest() != body.digest


def pose_and_differentiate(body: BodyModel, pose: BodyPose) -> list[torch.Tensor]:
    """The vertices' maps, the vertices, and gradients of a loss by what the pose has."""
    pose = pose.map(lambda x: x.clone().requires_grad_())
    posed, leaves = body.pose(pose), [x for x in vars(pose).values() if x is not None]
    loss = sum(
        (torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x) * x).sum()
        for x in (posed.vertex_transforms, posed.vertices)
    )
    return [posed.vertex_transforms.detach(), posed.vertices.detach(), *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("kind", ["smpl", "posedirs", "smplx"])
@pytest.mark.parametrize("frames", [1, 4])
def test_the_kernels_of_a_pose_equal_plain_torch(kind, frames, monkeypatch):
    """With gradients and without; offsets by pose, and by expressions too."""
    arrays = open_smplx() if kind == "smplx" else read_body(DEFAULT_BODY)
    body = BodyModel(arrays if kind == "smpl" else with_posedirs(arrays)).double()
    pose = random_pose(frames, joints=body.num_joints).to(torch.float64)
    if body.num_expressions:
        pose = replace(pose, expression=torch.linspace(-1, 1, frames * 5, dtype=torch.float64).view(frames, 5))
    constant, found = body.pose(pose), pose_and_differentiate(body, pose)
    assert torch.equal(body.maps(pose), constant.vertex_transforms)
    for module, name in ((fast_blend, "can_blend"), (fast_blend, "can_move"), (fast_chain, "can_chain")):
        monkeypatch.setattr(module, name, lambda *_: False)
    expected = pose_and_differentiate(body, pose)
    assert torch.equal(constant.vertex_transforms, found[0])
    torch.testing.assert_close(constant.vertices, expected[1], rtol=1e-12, atol=1e-12)
    assert any(not torch.equal(a, b) for a, b in zip(found, expected, strict=True))  # computed by other means
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11 * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("change", [lambda arrays: arrays, with_posedirs], ids=["no posedirs", "posedirs"])
def test_posed_vertices_equal_smplx(change):
    arrays = change(read_body(DEFAULT_BODY))
    pose = random_pose(3)
    expected = reference(arrays)(
        betas=pose.betas.expand(3, -1),
        global_orient=pose.global_orient,
        body_pose=pose.body_pose,
        transl=pose.transl,
    ).vertices
    body = BodyModel(arrays)
    posed = body.pose(pose)
    assert torch.allclose(posed.vertices, expected, atol=2e-5)
    rest = torch.nn.functional.pad(body.shaped_vertices(pose.betas), (0, 1), value=1.0)
    mapped = (posed.vertex_transforms @ rest[None, :, :, None])[..., :3, 0]
    assert torch.allclose(mapped, expected, atol=2e-5)


def test_rest_joints_equal_smplx(body):
    pose = random_pose(1)
    smpl = reference(read_body(DEFAULT_BODY))
    rest = smpl(betas=pose.betas[None], global_orient=torch.zeros(1, 3), body_pose=torch.zeros(1, 69))
    assert torch.allclose(body.rest_joints(pose.betas), rest.joints[0, :24], atol=1e-5)


def test_a_skeleton_of_another_size():
    """Nothing assumes SMPL's 24 joints or 6,890 vertices."""
    rng = np.random.default_rng(0)
    vertices, joints = 40, 5
    weights, regressor = rng.random((vertices, joints)), rng.random((joints, vertices))
    arrays = BodyArrays(
        v_template=rng.random((vertices, 3)),
        f=rng.integers(0, vertices, (20, 3)),
        weights=weights / weights.sum(1, keepdims=True),
        J_regressor=regressor / regressor.sum(1, keepdims=True),
        kintree_table=np.array([[2**32 - 1, 0, 1, 1, 0], range(5)]),
        shapedirs=rng.random((vertices, 3, 10)),
        posedirs=0.1 * rng.random((vertices, 3, 36)),
        exprdirs=np.zeros((vertices, 3, 0)),
    )
    smpl = reference(arrays)
    smpl.vertex_joint_selector.extra_joints_idxs = smpl.vertex_joint_selector.extra_joints_idxs[:0]
    pose = random_pose(2, joints=joints)
    expected = smpl(pose.betas.expand(2, -1), pose.body_pose, pose.global_orient, pose.transl).vertices
    body = BodyModel(arrays)
    assert body.kind == "other"
    assert torch.allclose(body.pose(pose).vertices, expected, atol=1e-5)


def test_joint_transforms_are_smplx_s_to_the_bit(body, monkeypatch):
    pose = random_pose(3)
    axis_angle = torch.cat([pose.global_orient, pose.body_pose], 1).view(3, 24, 3)
    joints = body.rest_joints(pose.betas)
    expected = batch_rigid_transform(rotation_matrices(axis_angle), joints.expand(3, -1, -1), body.parents)[1]
    torch.testing.assert_close(body.bend(pose, joints)[0], expected, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(fast_chain, "can_chain", lambda *_: False)
    assert torch.equal(body.bend(pose, joints)[0], expected)


def test_posing_asks_the_device_for_no_number():
    """On a GPU that would be a wait, and not be allowed in a CUDA graph; the meta device has none to give."""
    pose, away = random_pose(2).to("meta"), load_body().to("meta")
    with pytest.raises(RuntimeError, match="meta"):
        int(away.parents[1])
    assert away.pose(pose).vertices.shape == (2, 6890, 3)
    avatar = BoundAvatar(dots(7).to("meta"), torch.zeros(7, dtype=torch.long, device="meta"), pose.betas)
    assert Animator(avatar, away)(pose).means.shape == (2, 7, 3)


def dots(count: int) -> Gaussians:
    ones = torch.ones(count)
    return Gaussians(ones.expand(3, -1).T, ones.expand(4, -1).T, ones.expand(3, -1).T, ones, ones.expand(3, -1).T)


def test_pose_of_another_skeleton_is_refused(body):
    with pytest.raises(UserError, match="24 joints and expects 69 values per frame, found 63"):
        body.pose(random_pose(2, joints=22))
    with pytest.raises(UserError, match="10 shape directions, found 16"):
        body.shaped_vertices(torch.zeros(16))
    with pytest.raises(UserError, match="expression: this body has 0 expression directions, found 10 values per frame"):
        body.pose(replace(random_pose(2), expression=torch.zeros(2, 10)))
