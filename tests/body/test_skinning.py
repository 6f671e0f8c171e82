import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import fast_skinning, load_body, pose_gaussians, unpose_gaussians
from hgg_pyg.body.skinning import matrix_to_quaternion, polar_rotation, quaternion_multiply
from hgg_pyg.kernels.threads import one_thread
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


def far_from_rotations(dtype: torch.dtype) -> torch.Tensor:
    """Maps of 300 vertices in 3 poses: blended far apart, scaled, and by pi, where a quaternion is read another way."""
    rotation, about = Rotation.random(300, random_state=0), Rotation.random(300, random_state=1)
    far = about * Rotation.from_euler("x", 150, degrees=True) * about.inv() * rotation
    over = Rotation.from_rotvec(3.1 * np.eye(3)[[0, 1, 2] * 100])
    linear = [0.5 * (rotation.as_matrix() + far.as_matrix()), 1.3 * rotation.inv().as_matrix(), over.as_matrix()]
    maps = torch.eye(4, dtype=dtype).repeat(3, 300, 1, 1)
    maps[..., :3, :3] = torch.from_numpy(np.stack(linear))
    maps[..., :3, 3] = torch.linspace(-1, 1, 2700).view(3, 300, 3)
    return maps


def skin_and_differentiate(skin, means, quats, maps, binding) -> list[torch.Tensor]:
    """Means and quats that come out, and the gradients of a loss by means, quats and maps that go in."""
    inputs = [x.detach().clone().requires_grad_() for x in (means, quats, maps)]
    means, quats = inputs[:2]
    moved = skin(
        Gaussians(means, quats, torch.ones_like(means), torch.ones_like(means[..., 0]), torch.ones_like(means)),
        *(inputs[2], binding),
    )
    outputs = moved.means, moved.quats
    loss = sum((torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x) * x).sum() for x in outputs)
    return [*(x.detach() for x in outputs), *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize("lead", [(3,), (), (1, 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_kernels_equal_plain_torch(dtype, tolerance, lead, way, monkeypatch):
    gaussians, maps = random_gaussians(700, dtype=dtype), far_from_rotations(dtype)
    maps = maps[0] if lead == () else maps.view(*lead, 300, 4, 4)
    binding = torch.randint(10, 300, (700,), generator=torch.Generator().manual_seed(2))
    given = [gaussians.means, gaussians.quats, maps, binding]
    skin = pose_gaussians if way == "there" else unpose_gaussians
    if way == "back":
        given[:2] = (x.expand(*lead, *x.shape) for x in given[:2])
    found = skin_and_differentiate(skin, *given)
    assert not found[-1][..., :10, :, :].any()  # of vertices of no Gaussian
    with monkeypatch.context() as plain:
        plain.setattr(fast_skinning, "can_skin", lambda *_: False)
        expected = skin_and_differentiate(skin, *given)
    assert not torch.equal(found[-1], expected[-1])  # computed by other means
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("skin", [pose_gaussians, unpose_gaussians])
def test_gradients_do_not_depend_on_threads(skin):
    gaussians, maps = random_gaussians(3000), far_from_rotations(torch.float32)
    binding = torch.randint(300, (3000,), generator=torch.Generator().manual_seed(2))
    means, quats = gaussians.means, gaussians.quats
    if skin is unpose_gaussians:
        means, quats = means.expand(3, -1, -1), quats.expand(3, -1, -1)
    with one_thread():
        alone = skin_and_differentiate(skin, means, quats, maps, binding)
    together = skin_and_differentiate(skin, means, quats, maps, binding)
    assert all(map(torch.equal, alone, together))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_by_maps_that_hardly_have_a_rotation_are_finite(dtype):
    maps = torch.eye(4, dtype=dtype).repeat(1, 2, 1, 1)
    maps[0, :, :3, :3] = torch.diag(torch.tensor([1.0, 1e-5, 1e-5]))  # the mean of two that are nearly opposite
    maps[0, 1, :3, :3] *= 1e-3
    gaussians = random_gaussians(2, dtype=dtype)
    found = skin_and_differentiate(pose_gaussians, gaussians.means, gaussians.quats, maps, torch.tensor([0, 1]))
    assert all(x.isfinite().all() for x in found)


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
