import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import load_body, pose_gaussians, unpose_gaussians
from hgg_pyg.body.skinning import matrix_to_quaternion, polar_rotation, quaternion_multiply
from hgg_pyg.types import Gaussians
from tests.body.test_body import random_pose


def random_gaussians(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)

    quats = torch.nn.functional.normalize(draw(count, 4) - 0.5, dim=-1)
    return Gaussians(draw(count, 3) * 2 - 1, quats, draw(count, 3) * 0.02, draw(count), draw(count, 3))


def same_rotation(a: torch.Tensor, b: torch.Tensor, atol: float) -> bool:
    return bool(((a * b).sum(-1).abs() - 1).abs().max() < atol)


def test_unpose_is_the_exact_inverse_of_pose():
    body = load_body()
    gaussians = random_gaussians(5000)
    binding = torch.randint(body.num_vertices, (5000,), generator=torch.Generator().manual_seed(1))
    vertex_transforms = body.pose(random_pose(4)).vertex_transforms
    posed = pose_gaussians(gaussians, vertex_transforms, binding)
    assert posed.means.shape == (4, 5000, 3)
    back = unpose_gaussians(posed, vertex_transforms, binding)
    assert (back.means - gaussians.means).abs().max() < 1e-5
    assert same_rotation(back.quats, gaussians.quats, 1e-5)
    assert torch.equal(back.scales[2], gaussians.scales)


def test_a_gaussian_on_a_vertex_goes_where_smplx_puts_the_vertex():
    body = load_body()
    pose = random_pose(2, seed=3)
    binding = torch.arange(body.num_vertices)
    start = random_gaussians(body.num_vertices)
    start = Gaussians(body.shaped_vertices(pose.betas), start.quats, start.scales, start.opacities, start.colors)
    posed = body.pose(pose)
    assert torch.allclose(pose_gaussians(start, posed.vertex_transforms, binding).means, posed.vertices, atol=1e-5)


def test_global_rotation_rotates_every_gaussian_by_it():
    body = load_body()
    pose = random_pose(1)
    still = type(pose)(pose.betas, pose.global_orient, torch.zeros(1, 69), pose.transl)
    gaussians, binding = random_gaussians(50), torch.arange(50)
    posed = pose_gaussians(gaussians, body.pose(still).vertex_transforms, binding)
    rotation = Rotation.from_rotvec(pose.global_orient[0].numpy())
    expected = (rotation * Rotation.from_quat(gaussians.quats.numpy(), scalar_first=True)).as_quat(scalar_first=True)
    assert same_rotation(posed.quats[0], torch.from_numpy(expected).float(), 1e-5)


@pytest.mark.parametrize("shear", [0.0, 0.4])
def test_polar_rotation_equals_the_singular_value_decomposition(shear):
    rotation = torch.from_numpy(Rotation.random(500, random_state=0).as_matrix())
    other = torch.from_numpy(Rotation.random(500, random_state=1).as_matrix())
    blend = (1 - shear) * rotation + shear * other
    blend = blend[torch.linalg.det(blend) > 0.05]
    u, _, v = torch.linalg.svd(blend)
    assert len(blend) > 100
    assert torch.allclose(polar_rotation(blend), u @ v, atol=1e-8)


def test_polar_rotation_of_rotations_that_nearly_cancel():
    rotation, about = Rotation.random(500, random_state=0), Rotation.random(500, random_state=1)
    other = about * Rotation.from_euler("x", 176, degrees=True) * about.inv() * rotation
    blend = torch.from_numpy(0.5 * (rotation.as_matrix() + other.as_matrix()))
    u, _, v = torch.linalg.svd(blend)
    assert torch.allclose(polar_rotation(blend), u @ v, atol=1e-10)


def test_matrix_to_quaternion_equals_scipy_near_rotations_by_pi():
    axes = torch.nn.functional.normalize(torch.randn(300, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    angles = torch.linspace(0, torch.pi, 300)[:, None]
    rotations = Rotation.from_rotvec((axes * angles).numpy())
    ours = matrix_to_quaternion(torch.from_numpy(rotations.as_matrix()))
    assert same_rotation(ours, torch.from_numpy(rotations.as_quat(scalar_first=True)), 1e-9)


def by_torch(skin, means, quats, vertex_transforms, binding):
    """In plain torch, which is what maps that want gradients take."""
    start = Gaussians(means, quats, torch.ones_like(means), torch.ones_like(means[..., 0]), torch.ones_like(means))
    return skin(start, vertex_transforms.clone().requires_grad_(), binding)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 3e-6)])
def test_kernels_equal_plain_torch(dtype, tolerance):
    """Also far from rotations, and near rotations by pi, where another way to read a quaternion is the best."""
    rotation, about = Rotation.random(300, random_state=0), Rotation.random(300, random_state=1)
    far = about * Rotation.from_euler("x", 150, degrees=True) * about.inv() * rotation
    over = Rotation.from_rotvec(3.1 * np.eye(3)[[0, 1, 2] * 100])
    linear = [0.5 * (rotation.as_matrix() + far.as_matrix()), 1.3 * rotation.inv().as_matrix(), over.as_matrix()]
    vertex_transforms = torch.eye(4, dtype=dtype).repeat(3, 300, 1, 1)
    vertex_transforms[..., :3, :3] = torch.from_numpy(np.stack(linear))
    vertex_transforms[..., :3, 3] = torch.linspace(-1, 1, 2700).view(3, 300, 3)
    gaussians = random_gaussians(700, dtype=dtype)
    binding = torch.randint(300, (700,), generator=torch.Generator().manual_seed(2))
    for lead in (3,), (), (1, 3):
        transforms = vertex_transforms[1] if lead == () else vertex_transforms.view(*lead, 300, 4, 4)
        inputs = [x.clone().requires_grad_() for x in (gaussians.means, gaussians.quats)]
        start = Gaussians(*inputs, gaussians.scales, gaussians.opacities, gaussians.colors)
        found, expected = (
            pose_gaussians(start, transforms, binding),
            by_torch(pose_gaussians, *inputs, transforms, binding),
        )
        assert "_Pose" in found.means.grad_fn.next_functions[0][0].name()
        assert "_Pose" not in expected.means.grad_fn.next_functions[0][0].name()
        gradients = []
        for posed in (found, expected):
            weights = [torch.linspace(-1, 1, x.numel(), dtype=dtype).view_as(x) for x in (posed.means, posed.quats)]
            loss = (posed.means * weights[0]).sum() + (posed.quats * weights[1]).sum()
            gradients += torch.autograd.grad(loss, inputs)
        back = unpose_gaussians(found.detach(), transforms, binding)
        expected_back = by_torch(unpose_gaussians, found.means.detach(), found.quats.detach(), transforms, binding)
        for a, b in (
            *((found.means, expected.means), (found.quats, expected.quats)),
            *zip(gradients[:2], gradients[2:], strict=True),
            *((back.means, expected_back.means), (back.quats, expected_back.quats)),
        ):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(b.detach().abs().max())))


def test_a_binding_to_no_vertex_is_refused():
    gaussians, vertex_transforms = random_gaussians(2), torch.eye(4).repeat(5, 1, 1)
    for vertex in (5, -1):
        with pytest.raises(IndexError, match="binding"):
            pose_gaussians(gaussians, vertex_transforms, torch.tensor([0, vertex]))


def test_gradients():
    blend = 0.7 * torch.from_numpy(Rotation.random(3, random_state=2).as_matrix()) + 0.3 * torch.eye(3).double()
    blend.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: matrix_to_quaternion(polar_rotation(a)), (blend,))
    gaussians = random_gaussians(4, dtype=torch.float64)
    vertex_transforms = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    vertex_transforms[:, :3, :3] = blend.detach()[:2]
    binding = torch.tensor([0, 1, 1, 0])

    def there_and_back(means, quats, vertex_transforms):
        start = Gaussians(means, quats, gaussians.scales, gaussians.opacities, gaussians.colors)
        posed = pose_gaussians(start, vertex_transforms, binding)
        back = unpose_gaussians(posed, vertex_transforms.flip(0), binding)
        return posed.means, posed.quats, back.means, back.quats

    inputs = [t.clone().requires_grad_() for t in (gaussians.means, gaussians.quats, vertex_transforms)]
    assert torch.autograd.gradcheck(there_and_back, inputs)


def test_quaternion_product_is_composition():
    a, b = Rotation.random(20, random_state=0), Rotation.random(20, random_state=1)
    ours = quaternion_multiply(*(torch.from_numpy(r.as_quat(scalar_first=True)) for r in (a, b)))
    assert same_rotation(ours, torch.from_numpy((a * b).as_quat(scalar_first=True)), 1e-9)
