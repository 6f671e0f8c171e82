"""The open stand-in for SMPL-X, and SMPL-X's expression, jaw, eyes and hands against the smplx package."""

from dataclasses import replace

import numpy as np
import pytest
import smplx
import torch
from smplx.joint_names import JOINT_NAMES

from hgg_pyg.body import JOINTS, BodyModel, load_body, pose_gaussians, unpose_gaussians, write_body
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.body.parameters import hands_from_pca, smplx_body_pose
from hgg_pyg.types import BodyPose, Gaussians, UserError


@pytest.fixture(scope="module")
def arrays():
    """With pose blend shapes, which the stand-in has not, so that all of SMPL-X's formula is tested."""
    posedirs = np.zeros((10475, 3, 486), np.float32)
    some = posedirs[::16]  # the rest stays zero, which is quick to write
    some[:] = 0.01 * np.random.default_rng(0).standard_normal(some.shape, np.float32)
    return replace(open_smplx(), posedirs=posedirs)


@pytest.fixture(scope="module")
def written(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("bodies") / "SMPLX_NEUTRAL.npz"
    write_body(path, arrays)
    return path


def draw(*shape: int, seed: int, std: float = 1.0) -> torch.Tensor:
    return std * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_its_format_is_smplx():
    made = open_smplx()
    assert made.v_template.shape == (10475, 3)
    assert made.weights.shape == (10475, 55)
    assert (made.kind, made.is_open) == ("smplx", True)
    assert (made.shapedirs.shape[-1], made.exprdirs.shape[-1]) == (10, 10)
    np.testing.assert_allclose(made.weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(made.J_regressor.sum(1), 1, atol=1e-6)
    assert made.weights.min() >= 0
    assert made.J_regressor.min() >= 0
    for components in (made.hands_componentsl, made.hands_componentsr):
        np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-6)
    assert made.digest() == open_smplx().digest()


def test_it_is_a_closed_mesh_with_the_default_body_in_it(body):
    import trimesh

    made = open_smplx()
    mesh, other = (
        trimesh.Trimesh(v, f, process=False) for v, f in ((made.v_template, made.f), (body.v_template, body.faces))
    )
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(other.volume, rel=1e-6)  # new vertices lie on old edges
    np.testing.assert_array_equal(made.v_template[:6890], body.v_template)
    assert mesh.edges_unique_length.min() == pytest.approx(other.edges_unique_length.min(), rel=1e-6)
    assert mesh.edges_unique_length.max() <= other.edges_unique_length.max()


def test_a_pose_of_the_body_gives_the_default_bodys_surface(body):
    model = BodyModel(open_smplx())
    betas, orient, transl = draw(10, seed=0), draw(2, 3, seed=1), draw(2, 3, seed=2)
    angles = draw(2, 63, seed=3, std=0.4)
    expected = body.pose(BodyPose(betas, orient, torch.nn.functional.pad(angles, (0, 6)), transl)).vertices
    found = model.pose(BodyPose(betas, orient, smplx_body_pose(angles), transl)).vertices
    assert torch.allclose(found[:, :6890], expected, atol=1e-5)
    assert torch.allclose(model.rest_joints(betas)[:22], body.rest_joints(betas)[:22], atol=1e-6)


def test_joints_and_their_vertices_are_where_their_names_say():
    model = BodyModel(open_smplx())
    names = JOINT_NAMES[:55]
    assert tuple(names[:22]) == JOINTS[:22]
    joints = dict(zip(names, model.rest_joints(torch.zeros(10)), strict=True))
    parents = {name: names[parent] if parent >= 0 else None for name, parent in zip(names, model.parents, strict=True)}
    assert parents["jaw"] == parents["left_eye_smplhf"] == parents["right_eye_smplhf"] == "head"
    assert joints["left_eye_smplhf"][0] > 0.02
    assert joints["jaw"][1] < joints["left_eye_smplhf"][1]
    for side, sign in (("left", 1), ("right", -1)):
        for finger in ("index", "middle", "pinky", "ring", "thumb"):
            chain = [f"{side}_wrist", *(f"{side}_{finger}{k}" for k in (1, 2, 3))]
            assert [parents[name] for name in chain[1:]] == chain[:-1]
            reach = [sign * float(joints[name][0]) for name in chain]
            assert reach == sorted(reach)  # outwards
            for name in chain[1:]:
                assert (model.weights[:, names.index(name)] > 0.5).sum() > 10
        across = [float(joints[f"{side}_{finger}1"][2]) for finger in ("thumb", "index", "middle", "ring", "pinky")]
        assert across == sorted(across, reverse=True)


def test_expressions_and_jaw_move_the_face_only():
    model = BodyModel(open_smplx())
    still = BodyPose(torch.zeros(10), torch.zeros(1, 3), torch.zeros(1, 162), torch.zeros(1, 3))
    rest = model.pose(still).vertices[0]
    face = model.weights[:, [15, 22, 23, 24]].sum(1) > 0
    jaw = still.body_pose.clone()
    jaw[0, 63] = 0.3
    moved = [replace(still, body_pose=jaw)]
    moved += [replace(still, expression=torch.eye(10)[None, k]) for k in range(10)]
    for pose in moved:
        distance = (model.pose(pose).vertices[0] - rest).norm(dim=1)
        assert distance[~face].max() < 1e-6
        assert 0.002 < distance.max() < 0.05
    opened = model.pose(moved[0]).vertices[0]
    chin = model.weights[:, 22] > 0.9
    assert (opened[chin, 1] - rest[chin, 1]).mean() < -0.005  # downwards


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("count", [6, 45])
def test_posed_vertices_equal_smplx(written, flat, count):
    reference = smplx.SMPLX(
        str(written), use_pca=count < 45, num_pca_comps=count, flat_hand_mean=flat, batch_size=3, ext="npz"
    )
    given = {
        "betas": draw(1, 10, seed=0).expand(3, -1),
        "global_orient": draw(3, 3, seed=1),
        "body_pose": draw(3, 63, seed=2, std=0.3),
        "transl": draw(3, 3, seed=3),
        "expression": draw(3, 10, seed=4),
        "jaw_pose": draw(3, 3, seed=5, std=0.2),
        "leye_pose": draw(3, 3, seed=6, std=0.2),
        "reye_pose": draw(3, 3, seed=7, std=0.2),
        "left_hand_pose": draw(3, count, seed=8, std=0.4),
        "right_hand_pose": draw(3, count, seed=9, std=0.4),
    }
    expected = reference(**given)
    body = load_body(written)
    hands = given["left_hand_pose"], given["right_hand_pose"]
    if count == 45:
        hands = (hands[0] + reference.left_hand_mean, hands[1] + reference.right_hand_mean)
    else:
        hands = hands_from_pca(body, *hands, flat=flat)
    face = given["jaw_pose"], given["leye_pose"], given["reye_pose"]
    pose = BodyPose(
        betas=given["betas"][0],
        global_orient=given["global_orient"],
        body_pose=smplx_body_pose(given["body_pose"], *face, *hands),
        transl=given["transl"],
        expression=given["expression"],
    )
    posed = body.pose(pose)
    assert (posed.vertices - expected.vertices).abs().max() < 1e-5
    rest = torch.nn.functional.pad(body.shaped_vertices(pose.betas), (0, 1), value=1.0)
    mapped = (posed.vertex_transforms @ rest[None, :, :, None])[..., :3, 0]
    assert (mapped - expected.vertices).abs().max() < 1e-5
    still = body.pose(replace(pose, expression=None)).vertices
    assert (still - expected.vertices).abs().max() > 1e-3


def test_an_expression_moves_the_joints_it_moves_the_vertices_of(arrays):
    """Joints come of the expressive face, frame by frame: the jaw rotates about another point."""
    body = BodyModel(arrays)
    angles = torch.zeros(2, 162)
    angles[:, 63:66] = draw(3, seed=0)
    pose = BodyPose(torch.zeros(10), torch.zeros(2, 3), angles, torch.zeros(2, 3))
    strong = torch.zeros(2, 10)
    strong[1, 6] = 20  # cheeks, next to the hinge of the jaw
    joints = body.rest_joints(pose.betas)
    joint_transforms, bends = body.bend(replace(pose, expression=strong), joints)
    plain, _ = body.bend(pose, joints)
    assert torch.allclose(joint_transforms[0], plain[0], atol=1e-6)
    assert (joint_transforms[1, 22] - plain[1, 22]).abs().max() > 1e-3
    assert bends.shape == (2, 486 + 10)


def test_fewer_values_of_expression_are_the_first_ones(arrays):
    body = BodyModel(arrays)
    pose = BodyPose(torch.zeros(10), torch.zeros(1, 3), draw(1, 162, seed=0, std=0.2), torch.zeros(1, 3))
    few = draw(1, 4, seed=1)
    padded = torch.nn.functional.pad(few, (0, 6))
    found = [body.pose(replace(pose, expression=e)).vertices for e in (few, padded)]
    assert torch.allclose(*found, atol=1e-6)
    none = body.pose(replace(pose, expression=torch.zeros(1, 10))).vertices
    assert torch.allclose(none, body.pose(pose).vertices, atol=1e-6)
    with pytest.raises(UserError, match="this body has 10 expression directions, found 11 values per frame"):
        body.pose(replace(pose, expression=torch.zeros(1, 11)))


def test_unpose_undoes_pose_with_an_expression():
    body = BodyModel(open_smplx()).double()
    generator = torch.Generator().manual_seed(0)
    binding = torch.randint(10475, (3000,), generator=generator)
    shape = {"generator": generator, "dtype": torch.float64}
    quats = torch.nn.functional.normalize(torch.randn(3000, 4, **shape), dim=-1)
    means = torch.rand(3000, 3, **shape)
    start = Gaussians(
        means, quats, torch.rand(3000, 3, **shape), torch.rand(3000, **shape), torch.rand(3000, 3, **shape)
    )
    pose = BodyPose(
        betas=torch.randn(10, **shape),
        global_orient=torch.randn(2, 3, **shape),
        body_pose=0.3 * torch.randn(2, 162, **shape),
        transl=torch.randn(2, 3, **shape),
        expression=torch.randn(2, 10, **shape),
    )
    posed = body.pose(pose)
    back = unpose_gaussians(pose_gaussians(start, posed.vertex_transforms, binding), posed.vertex_transforms, binding)
    assert (back.means - means).abs().max() < 1e-10
    assert ((back.quats * quats).sum(-1).abs() - 1).abs().max() < 1e-10
    everywhere = torch.arange(10475)
    on = Gaussians(body.shaped_vertices(pose.betas), *(torch.zeros(10475, n).double() + 1 for n in (4, 3)),
                   torch.ones(10475).double(), torch.ones(10475, 3).double())  # fmt: skip
    assert (pose_gaussians(on, posed.vertex_transforms, everywhere).means - posed.vertices).abs().max() < 1e-10


def test_gradients_reach_expression_and_pose():
    body = BodyModel(open_smplx()).double()
    some = torch.nonzero(body.weights[:, 22] > 0.5)[:3, 0]

    def corner(expression, angles):
        pose = BodyPose(
            torch.zeros(1).double(), torch.zeros(1, 3).double(), angles, torch.zeros(1, 3).double(), expression
        )
        return body.pose(pose).vertex_transforms[:, some]

    expression = draw(1, 2, seed=0).double().requires_grad_()
    angles = draw(1, 162, seed=1, std=0.2).double()
    expected = torch.autograd.functional.jacobian(lambda e: corner(e, angles), expression)
    step = 1e-6
    for k in range(2):
        shift = step * torch.eye(2).double()[k]
        with torch.no_grad():
            numeric = (corner(expression + shift, angles) - corner(expression - shift, angles)) / (2 * step)
        assert torch.allclose(expected[..., 0, k], numeric, atol=1e-8)
    assert expected.abs().max() > 1e-4
