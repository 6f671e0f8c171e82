"""Conversions of body parameters, against what they convert from."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.body.parameters import easymocap_to_smplx, hands_from_pca, matrix_to_axis_angle, smplx_body_pose
from hgg_pyg.types import BodyPose, UserError


@pytest.fixture(scope="module")
def smplx_body():
    return BodyModel(open_smplx()).double()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_parts_are_in_the_models_order():
    parts = [part + torch.arange(3) / 10 for part in range(55)]  # joint 1: 1.0, 1.1, 1.2; joint 2: 2.0 ...
    row = torch.cat(parts)[None]
    body, jaw, left_eye, right_eye, left_hand, right_hand = row[:, 3:].split([63, 3, 3, 3, 45, 45], 1)
    assert torch.equal(smplx_body_pose(body, jaw, left_eye, right_eye, left_hand, right_hand), row[:, 3:])
    still = smplx_body_pose(body, right_hand=right_hand)
    assert torch.equal(still[:, :63], body)
    assert torch.equal(still[:, -45:], right_hand)
    assert not still[:, 63:-45].any()
    with pytest.raises(UserError, match=r"jaw_pose: expected shape \(1, 3\), found \(2, 3\)"):
        smplx_body_pose(body, jaw.repeat(2, 1))
    with pytest.raises(UserError, match=r"body_pose: expected shape \(1, 63\), found \(1, 69\)"):
        smplx_body_pose(torch.zeros(1, 69))


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("count", [6, 12, 45])
def test_hands_are_sums_of_principal_poses(smplx_body, flat, count):
    left, right = draw(2, count), draw(2, count, seed=1)
    arrays = open_smplx()
    found = hands_from_pca(smplx_body, left, right, flat)
    for hand, coefficients, components, mean in (
        (found[0], left, arrays.hands_componentsl, arrays.hands_meanl),
        (found[1], right, arrays.hands_componentsr, arrays.hands_meanr),
    ):
        for t in range(2):
            expected = torch.zeros(45, dtype=torch.float64) if flat else torch.tensor(mean).double()
            for k in range(count):
                expected = expected + coefficients[t, k] * torch.tensor(components[k]).double()
            assert torch.allclose(hand[t], expected)


def test_hands_that_the_body_cannot_have(smplx_body):
    with pytest.raises(UserError, match="the body open default body has none"):
        hands_from_pca(load_body(), draw(1, 6), draw(1, 6), flat=True)
    with pytest.raises(UserError, match="has 45 principal poses, found 46 coefficients"):
        hands_from_pca(smplx_body, draw(1, 46), draw(1, 46), flat=True)


@pytest.mark.parametrize("rooted", [False, True])
def test_easymocap_vertices_are_smplx_vertices(smplx_body, rooted):
    """EasyMocap: V = R(Rh) LBS(root) + Th, evaluated as it stands."""
    rotvec, shift, pose, betas = draw(3, 3), draw(3, 3, seed=1), 0.2 * draw(3, 162, seed=2), draw(10, seed=3)
    root = draw(3, 3, seed=4) if rooted else torch.zeros(3, 3, dtype=torch.float64)
    inner = smplx_body.pose(BodyPose(betas, root, pose, torch.zeros_like(shift))).vertices
    rotation = torch.from_numpy(Rotation.from_rotvec(rotvec.numpy()).as_matrix())
    expected = inner @ rotation.mT + shift[:, None]
    pelvis = smplx_body.rest_joints(betas)[0]
    orient, transl = easymocap_to_smplx(rotvec, shift, pelvis, root)
    found = smplx_body.pose(BodyPose(betas, orient, pose, transl)).vertices
    assert (found - expected).abs().max() < 1e-6
    wrong = smplx_body.pose(BodyPose(betas, orient, pose, shift)).vertices
    assert (wrong - expected).abs().max() > 0.05  # what the conversion is for
    per_frame = easymocap_to_smplx(rotvec, shift, pelvis.expand(3, 3), root)
    assert torch.equal(per_frame[1], transl)


def test_axis_angle_near_zero_and_near_pi():
    generator = torch.Generator().manual_seed(0)
    axes = torch.nn.functional.normalize(torch.randn(400, 3, generator=generator, dtype=torch.float64), dim=-1)
    axes[:6] = torch.cat([torch.eye(3), -torch.eye(3)])
    near = torch.pi - torch.logspace(-12, -1, 200, dtype=torch.float64)
    angles = torch.cat([torch.logspace(-12, 0, 200, dtype=torch.float64), near])
    vectors = axes * angles[:, None]
    matrices = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    found = matrix_to_axis_angle(matrices.view(20, 20, 3, 3)).view(-1, 3)
    assert torch.allclose(found, vectors, atol=1e-7)
    assert found.norm(dim=-1).max() <= torch.pi + 1e-12
    back = torch.from_numpy(Rotation.from_rotvec(found.numpy()).as_matrix())
    assert torch.allclose(back, matrices, atol=1e-9)
    single = matrix_to_axis_angle(matrices.float())
    back = torch.from_numpy(Rotation.from_rotvec(single.double().numpy()).as_matrix())
    assert torch.allclose(back, matrices, atol=1e-5)
    assert torch.equal(matrix_to_axis_angle(torch.eye(3)), torch.zeros(3))


def test_rotations_by_exactly_pi():
    for axis in (*torch.eye(3), torch.tensor([1.0, 2.0, -2.0]) / 3):
        half = 2 * torch.outer(axis, axis) - torch.eye(3)
        found = matrix_to_axis_angle(half)
        assert torch.allclose(found.norm(), torch.tensor(torch.pi), atol=1e-6)
        assert torch.allclose(torch.linalg.cross(found, axis), torch.zeros(3), atol=1e-5)


def test_axis_angle_has_gradients():
    matrices = torch.from_numpy(Rotation.from_rotvec(draw(4, 3).numpy()).as_matrix()).requires_grad_()
    assert torch.autograd.gradcheck(matrix_to_axis_angle, (matrices,))
