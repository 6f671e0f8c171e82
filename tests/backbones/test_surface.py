"""The surface backbone: points where rays meet the body, and features that do not depend on where the world is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation
from torch import Tensor

from hgg_pyg.backbones import Moment, SurfaceBackbone, SurfaceConfig
from hgg_pyg.backbones.visual_hull import coverage
from hgg_pyg.body import load_body
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, Cameras, Gaussians
from tests.backbones import surface_reference


@dataclass(frozen=True)
class Scene:
    """What a backbone is given."""

    images: Tensor  # [V, H, W, 3]
    masks: Tensor  # [V, H, W]
    cameras: Cameras
    vertices: Tensor  # [N, 3]
    vertex_transforms: Tensor  # [N, 4, 4]
    faces: Tensor  # [F, 3]

    @property
    def moment(self) -> Moment:
        body = (self.vertices, self.vertex_transforms, self.faces)
        return Moment("someone", 0, self.cameras, *body, lambda: (self.images, self.masks))

    def run(self, config: SurfaceConfig | None = None) -> Gaussians:
        return SurfaceBackbone(config or SurfaceConfig())(self.moment)


def ring(count: int, size: int, start: float = 0.0, distance: float = 2.6) -> Cameras:
    """Cameras around the y axis that look at the origin, y up."""
    viewmats = []
    for angle in start + 2 * math.pi * np.arange(count) / count:
        forward = -np.array([math.sin(angle), 0, math.cos(angle)])
        right = np.cross([0, -1.0, 0], forward)
        viewmat = np.eye(4)
        viewmat[:3, :3] = np.stack([right, [0, -1, 0], forward])
        viewmat[:3, 3] = [0, 0, distance]
        viewmats.append(viewmat)
    K = torch.tensor([[1.25 * size, 0, size / 2], [0, 1.25 * size, size / 2], [0, 0, 1]])
    return Cameras(torch.tensor(np.stack(viewmats), dtype=torch.float32), K.repeat(count, 1, 1), size, size)


def photograph(vertices: np.ndarray, faces: np.ndarray, chart: np.ndarray, cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Images of a mesh before grey, coloured by the smooth pattern that its vertices have in `chart`; and masks."""
    mesh, fine = trimesh.Trimesh(vertices, faces, process=False), 3
    y, x = np.mgrid[0 : cameras.height * fine, 0 : cameras.width * fine]
    pixels = np.stack([(x + 0.5) / fine, (y + 0.5) / fine, np.ones_like(x)], -1).reshape(-1, 3)
    images, masks = [], []
    for viewmat, K in zip(cameras.viewmats.double().numpy(), cameras.Ks.double().numpy(), strict=True):
        rays = pixels @ np.linalg.inv(K).T @ viewmat[:3, :3]
        origins = np.tile(-viewmat[:3, :3].T @ viewmat[:3, 3], (len(rays), 1))
        met = mesh.ray.intersects_first(origins, rays)
        hit, triangle = np.flatnonzero(met >= 0), met[met >= 0]
        normal = mesh.face_normals[triangle]
        reach = ((mesh.triangles[triangle, 0] - origins[hit]) * normal).sum(1) / (rays[hit] * normal).sum(1)
        shares = trimesh.triangles.points_to_barycentric(
            mesh.triangles[triangle], origins[hit] + reach[:, None] * rays[hit]
        )
        place = (shares[..., None] * chart[faces[triangle]]).sum(1)
        color = np.full((len(rays), 3), 0.5)
        color[hit] = 0.5 + 0.4 * np.sin(place @ np.array([[30.0, 5, 9], [8, 25, -12], [3, 11, 20]]))
        block = (cameras.height, fine, cameras.width, fine)
        images.append(color.reshape(*block, 3).mean((1, 3)))
        masks.append((met >= 0).reshape(block).mean((1, 3)))
    return torch.tensor(np.stack(images)).float(), torch.tensor(np.stack(masks)).float()


@pytest.fixture(scope="module")
def person() -> Scene:
    """The default body with its arms lowered, seen by four cameras."""
    body = load_body()
    angles = torch.zeros(1, 69)
    angles[0, 47], angles[0, 50], angles[0, 0] = -1.0, 0.9, -0.4  # shoulders, left hip
    pose = BodyPose(torch.zeros(10), torch.tensor([[0, 0.3, 0]]), angles, torch.zeros(1, 3))
    posed = body.pose(pose)
    middle = (posed.vertices[0].amax(0) + posed.vertices[0].amin(0)) / 2
    vertices, vertex_transforms = posed.vertices[0] - middle, posed.vertex_transforms[0].clone()
    vertex_transforms[:, :3, 3] -= middle
    cameras = ring(4, 64)
    chart = body.shaped_vertices(pose.betas).double().numpy()
    images, masks = photograph(vertices.double().numpy(), body.faces.numpy(), chart, cameras)
    return Scene(images, masks, cameras, vertices, vertex_transforms, body.faces)


@pytest.fixture(scope="module")
def ball() -> Scene:
    """A ball of half a metre before one camera, its image half a pixel short of round."""
    sphere = trimesh.creation.icosphere(4, 0.5)
    cameras = ring(1, 48)
    images, masks = photograph(sphere.vertices, sphere.faces, np.asarray(sphere.vertices), cameras)
    count = len(sphere.vertices)
    return Scene(
        images,
        masks,
        cameras,
        torch.tensor(sphere.vertices, dtype=torch.float32),
        torch.eye(4).repeat(count, 1, 1),
        torch.tensor(sphere.faces),
    )


def column(gaussians: Gaussians, name: str) -> Tensor:
    """A feature, or the three of a vector."""
    assert gaussians.features is not None
    names = SurfaceBackbone().feature_names
    chosen = [i for i, entry in enumerate(names) if entry == name or entry[:-2] == name]
    assert len(chosen) in (1, 3)
    return gaussians.features[:, chosen]


def moved(scene: Scene, motion: Tensor) -> Scene:
    """Body and cameras carried by one rigid motion [4, 4], in float64 so that rounding does not move the rays."""
    vertices = scene.vertices.double() @ motion[:3, :3].mT + motion[:3, 3]
    viewmats = scene.cameras.viewmats.double() @ torch.linalg.inv(motion)
    cameras = replace(scene.cameras, viewmats=viewmats)
    return replace(
        scene, cameras=cameras, vertices=vertices, vertex_transforms=motion @ scene.vertex_transforms.double()
    )


def rigid(seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, :3] = torch.tensor(Rotation.random(random_state=rng).as_matrix())
    motion[:3, 3] = torch.tensor(rng.uniform(-2, 2, 3))
    return motion


def surface(gaussians: Gaussians) -> Tensor:
    """Where the rays met the body, or the borrowed depth: Gaussians lie 0.4 pixels below it. [M, 3]"""
    footprint = gaussians.scales[:, 1:2] / SurfaceConfig().footprint
    own = 1 - column(gaussians, "borrowed")
    return gaussians.means + 0.4 * own * footprint * axes(gaussians)[..., 2]


def axes(gaussians: Gaussians) -> Tensor:
    """Orientations as matrices, the Gaussian's axes in columns. [M, 3, 3]"""
    return torch.tensor(Rotation.from_quat(gaussians.quats.numpy(), scalar_first=True).as_matrix()).float()


def test_gaussians_lie_on_the_rays_of_the_persons_pixels_where_they_meet_the_body(person: Scene) -> None:
    gaussians = person.run()
    foreground = person.masks > 0.5
    toward = column(gaussians, "view")
    points = surface(gaussians)
    seen_as = torch.zeros(len(gaussians), dtype=torch.long)  # how many cameras have it exactly at a pixel's centre
    found = 0
    for view in range(4):
        rotation, shift = person.cameras.viewmats[view, :3, :3], person.cameras.viewmats[view, :3, 3]
        seen = (points @ rotation.mT + shift) @ person.cameras.Ks[view].mT
        pixels = seen[:, :2] / seen[:, 2:] - 0.5
        centred = (pixels - pixels.round()).abs().amax(1) < 1e-3
        seen_as += centred
        columns, rows = pixels[centred].round().long().T
        found += int(foreground[view][rows, columns].sum())
    assert (seen_as > 0).all()
    assert found == pytest.approx(len(gaussians), rel=0.01)  # by chance a point is at a centre in two views
    assert len(gaussians) == foreground.sum()
    assert toward.norm(dim=1).sub(1).abs().max() < 1e-5
    own = column(gaussians, "borrowed")[:, 0] == 0
    mesh = trimesh.Trimesh(person.vertices, person.faces, process=False)
    distances = trimesh.proximity.closest_point(mesh, points[own][::17].numpy())[1]
    assert distances.max() < 1e-5


def test_on_a_ball_everything_is_known_by_formula(ball: Scene) -> None:
    gaussians, config = ball.run(), SurfaceConfig()
    points, own = surface(gaussians), column(gaussians, "borrowed")[:, 0] == 0
    assert own.sum() > 400
    normal = torch.nn.functional.normalize(points, dim=1)
    assert (points.norm(dim=1)[own] - 0.5).abs().max() < 2e-3  # the triangles cut the corners
    assert (gaussians.means.norm(dim=1) < points.norm(dim=1))[own].all()
    torch.testing.assert_close(column(gaussians, "normal")[own], normal[own], atol=0.02, rtol=0)
    toward = torch.nn.functional.normalize(ball.cameras.centers - points, dim=1)
    torch.testing.assert_close(column(gaussians, "view"), toward, atol=1e-4, rtol=0)
    facing = column(gaussians, "facing")[:, 0] * 0.3 + 0.7
    torch.testing.assert_close(facing[own], (normal * toward).sum(1)[own], atol=0.03, rtol=0)
    # Sizes: a pixel's footprint across the slope, that over the cosine (at most max_stretch) down it, thin along n.
    depth = (points @ ball.cameras.viewmats[0, :3, :3].mT + ball.cameras.viewmats[0, :3, 3])[:, 2]
    footprint = depth / ball.cameras.Ks[0, 0, 0]
    torch.testing.assert_close(gaussians.scales[:, 1], config.footprint * footprint)
    torch.testing.assert_close(gaussians.scales[:, 2], config.footprint * config.thickness * footprint)
    stretch = 1 / facing.clamp(min=1 / config.max_stretch)
    torch.testing.assert_close(gaussians.scales[:, 0], config.footprint * footprint * stretch, rtol=1e-3, atol=0)
    torch.testing.assert_close(column(gaussians, "footprint")[:, 0], torch.log(footprint / 0.02), atol=1e-4, rtol=0)
    # Orientation: the third axis is the normal, the first lies in the surface towards the camera.
    torch.testing.assert_close(axes(gaussians)[own, :, 2], normal[own], atol=0.02, rtol=0)
    slanted = own & (facing < 0.9)
    slope = torch.nn.functional.normalize(toward - (toward * normal).sum(1, keepdim=True) * normal, dim=1)
    assert ((axes(gaussians)[..., 0] * slope).sum(1).abs()[slanted] > 0.99).all()
    # Opacity: full inside, fading with the mask at the outline.
    cover = column(gaussians, "coverage")[:, 0] * 0.15 + 0.9
    torch.testing.assert_close(gaussians.opacities, config.opacity * cover**6)
    assert cover.max() == 1
    assert 0.5 < cover.min() < 0.8


def test_what_is_background_to_any_camera_is_too_faint_to_render(ball: Scene) -> None:
    """A second camera, from the side, that sees only the ball's near half: the far half fades, but stays above zero."""
    side = ring(2, 48, start=math.pi / 2)[:1]
    half = ball.masks.clone()
    half[..., :24] = 0
    cameras = replace(
        ball.cameras,
        viewmats=torch.cat([ball.cameras.viewmats, side.viewmats]),
        Ks=torch.cat([ball.cameras.Ks, side.Ks]),
    )
    gaussians = replace(
        ball, images=ball.images.repeat(2, 1, 1, 1), masks=torch.cat([ball.masks, half]), cameras=cameras
    ).run()
    seen = (gaussians.means @ side.viewmats[0, :3, :3].mT + side.viewmats[0, :3, 3]) @ side.Ks[0].mT
    column_seen = seen[:, 0] / seen[:, 2]
    assert gaussians.opacities[column_seen < 23.4].max() < 1 / 255
    assert gaussians.opacities.min() > 0
    assert (gaussians.opacities[column_seen > 24.6] > 0.5).float().mean() > 0.7


def test_coverage_is_the_least_mask_of_the_cameras_that_have_a_place_in_the_image() -> None:
    K = np.array([[10.0, 0, 4], [0, 10, 4], [0, 0, 1]])
    mask = np.zeros((8, 8))
    mask[:, 4:] = 1
    places = np.array(
        [[0.25, 0.05, 1], [-0.25, 0.05, 1], [0.0, 0.05, 1], [0.025, 0.05, 1], [-2, 0, 1], [0.25, -0.05, -1]]
    )  # covered, background, on the edge, a quarter pixel right of it, out of the image, behind the camera
    views, other = np.stack([np.eye(4)] * 2), np.full((8, 8), 0.7)
    still = np.zeros((6, 3)), np.zeros(1)
    alone = coverage(places, *still, mask[None], views[:1], K[None])
    np.testing.assert_allclose(alone[:, 0], [1, 0, 0.5, 0.75, 1, 1])
    both = coverage(places, *still, np.stack([mask, other]), views, np.stack([K, K]))
    np.testing.assert_allclose(both[:, 0], [0.7, 0, 0.5, 0.7, 1, 1], rtol=1e-7)


def test_coverage_equals_scipy_s_interpolation_along_lines() -> None:
    rng = np.random.default_rng(0)
    cameras = ring(3, 20)
    viewmats, Ks = (x.double().numpy() for x in (cameras.viewmats, cameras.Ks))
    masks = rng.random((3, 14, 20)).astype(np.float32)
    places, directions = rng.uniform(-1.5, 1.5, (200, 3)), rng.normal(size=(200, 3))  # some out of some images
    reaches = np.array([0, 0.02, -0.3])
    expected = surface_reference.coverage(places[:, None] + reaches[:, None] * directions[:, None], masks, viewmats, Ks)
    assert 0.05 < (expected == 1).mean() < 0.5
    found = coverage(places, directions, reaches, masks, viewmats, Ks)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert coverage(places[:0], directions[:0], reaches, masks, viewmats, Ks).shape == (0, 3)


def test_coverage_off_the_surface_says_how_thick_the_clothes_are() -> None:
    sphere, cameras = trimesh.creation.icosphere(3, 0.5), ring(4, 96)
    vertices, faces = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    body = (torch.tensor(vertices).float(), torch.eye(4).repeat(len(vertices), 1, 1), torch.tensor(faces))

    def covered(clothes: float) -> Tensor:
        images, masks = photograph(vertices * (0.5 + clothes) / 0.5, faces, vertices, cameras)
        gaussians = Scene(images, masks, cameras, *body).run()
        on_body = column(gaussians, "borrowed")[:, 0] == 0
        names = [f"coverage_{reach}mm" for reach in (10, 20, 30, 45, 65, 90)]
        return torch.cat([column(gaussians, name) for name in names], 1)[on_body].mean(0)

    bare, dressed = covered(0.0), covered(0.04)
    assert (bare.diff() < 0).all()
    assert (dressed.diff() < 0).all()
    assert (dressed[:3] > 1.4).all()  # 10, 20 and 30 mm are within clothes of 40
    assert (dressed - bare > 0.3).all()
    assert dressed[-1] < -0.5  # 90 mm are not


def test_pixels_off_the_body_take_the_depth_of_the_nearest_on_it(ball: Scene) -> None:
    masks = ball.masks.clone()
    masks[0, 20:28, 24:44] = 1  # a handle that sticks out to the right
    gaussians = replace(ball, masks=masks).run()
    rotation, shift = ball.cameras.viewmats[0, :3, :3], ball.cameras.viewmats[0, :3, 3]
    seen = surface(gaussians) @ rotation.mT + shift
    depth, pixels = seen[:, 2], ((seen @ ball.cameras.Ks[0].mT)[:, :2] / seen[:, 2:] - 0.5).round().long()
    borrowed = column(gaussians, "borrowed")[:, 0] == 1
    handle = pixels[:, 0] > 40
    assert handle.sum() >= 18
    assert borrowed[handle].all()
    on_body = replace(ball, masks=torch.ones_like(masks))  # every pixel that meets the ball
    whole = on_body.run()
    own = column(whole, "borrowed")[:, 0] == 0
    seen_own = surface(whole)[own] @ rotation.mT + shift
    own_pixels = ((seen_own @ ball.cameras.Ks[0].mT)[:, :2] / seen_own[:, 2:] - 0.5).round().long()
    listed = masks[0][own_pixels[:, 1], own_pixels[:, 0]] > 0.5
    own_pixels, own_depth = own_pixels[listed], seen_own[listed, 2]
    apart = (pixels[:, None] - own_pixels).square().sum(-1)
    for i in torch.nonzero(borrowed)[:, 0].tolist():
        nearest = own_depth[apart[i] == apart[i].min()]  # ties: any of them
        assert (depth[i] - nearest).abs().min() < 1e-4
    torch.testing.assert_close(column(gaussians, "normal")[borrowed], column(gaussians, "view")[borrowed])


def test_the_background_does_not_get_into_colours(ball: Scene) -> None:
    person_color, studio = torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.0, 1.0, 0.0])
    cover = ball.masks[..., None]
    images = cover * person_color + (1 - cover) * studio
    assert ((ball.masks > 0.5) & (ball.masks < 0.95)).any()
    gaussians = replace(ball, images=images).run()
    torch.testing.assert_close(gaussians.colors, person_color.expand(len(gaussians), 3), atol=0.06, rtol=0)
    for name in ("color", "color_near", "color_around"):
        expected = ((person_color - 0.5) / 0.25).expand(len(gaussians), 3)
        torch.testing.assert_close(column(gaussians, name), expected, atol=0.25, rtol=0)


def test_wider_blurs_are_smoother(person: Scene) -> None:
    gaussians = person.run()
    spread = [float(column(gaussians, name).std()) for name in ("color", "color_near", "color_around")]
    assert spread[0] > 1.05 * spread[1] > 1.1 * spread[2]


def test_features_do_not_depend_on_where_the_world_is(person: Scene) -> None:
    before = person.run()
    for seed in range(3):
        motion = rigid(seed)
        after = moved(person, motion).run()
        assert len(before) == len(after)
        # A ray that grazes an outline may be decided either way: one in a thousand may differ.
        assert before.features is not None
        assert after.features is not None
        same = (before.features - after.features).abs().amax(1) < 1e-4
        assert same.float().mean() > 0.999
        expected = before.means[same].double() @ motion[:3, :3].mT + motion[:3, 3]
        torch.testing.assert_close(after.means[same].double(), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(after.scales[same], before.scales[same])


def test_features_do_not_depend_on_the_pose(ball: Scene) -> None:
    """Two parts, each seen by a camera of its own; each moves with its camera, differently: the features stay."""
    apart = torch.eye(4, dtype=torch.float64)
    apart[0, 3] = 40.0  # so far that no camera sees both

    def together(first: Scene, second: Scene) -> Scene:
        Ks = torch.cat([first.cameras.Ks, second.cameras.Ks])
        viewmats = torch.cat([first.cameras.viewmats, second.cameras.viewmats])
        return Scene(
            torch.cat([first.images, second.images]),
            torch.cat([first.masks, second.masks]),
            Cameras(viewmats, Ks, first.cameras.width, first.cameras.height),
            torch.cat([first.vertices, second.vertices]),
            torch.cat([first.vertex_transforms, second.vertex_transforms]),
            torch.cat([first.faces, second.faces + len(first.vertices)]),
        )

    at_rest = together(moved(ball, torch.eye(4, dtype=torch.float64)), moved(ball, apart))
    posed = together(moved(ball, rigid(4)), moved(ball, apart @ rigid(5)))
    before, after = at_rest.run(), posed.run()
    assert before.features is not None
    assert after.features is not None
    assert ((before.features - after.features).abs().amax(1) < 1e-4).float().mean() > 0.99
    assert (before.features - after.features).abs().mean() < 1e-3


def test_a_rotated_body_part_rotates_its_features(ball: Scene) -> None:
    """The rest frame is the transform's rotation, whatever stretch comes with it."""
    rotation = torch.tensor(Rotation.from_rotvec([0.3, -1.2, 0.5]).as_matrix()).float()
    vertex_transforms = ball.vertex_transforms.clone()
    vertex_transforms[:, :3, :3] = rotation @ torch.tensor([[1.1, 0.05, 0], [0.05, 0.9, 0], [0, 0, 1.0]])
    before = ball.run()
    after = replace(ball, vertex_transforms=vertex_transforms).run()
    for name in ("offset", "normal", "view"):
        torch.testing.assert_close(column(after, name), column(before, name) @ rotation, atol=1e-4, rtol=0)
    for name in ("color", "facing", "outline_pixels", "footprint"):
        torch.testing.assert_close(column(after, name), column(before, name))


def test_offset_is_from_the_nearest_vertex(person: Scene) -> None:
    gaussians = person.run()
    nearest = torch.cdist(gaussians.means, person.vertices, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    torch.testing.assert_close(column(gaussians, "offset").norm(dim=1) * 0.05, nearest, atol=1e-5, rtol=0)


def test_features_are_of_about_unit_size_and_named(person: Scene) -> None:
    backbone = SurfaceBackbone()
    gaussians = person.run()
    assert gaussians.features is not None
    assert backbone.feature_dim == len(backbone.feature_names) == len(set(backbone.feature_names)) == 30
    assert gaussians.features.shape == (len(gaussians), 30)
    assert gaussians.features.abs().max() < 6.5
    assert gaussians.features.mean(0).abs().max() < 1
    assert gaussians.features.std(0).max() < 1.5


def test_stride_makes_fewer_and_larger_gaussians(person: Scene) -> None:
    one, two = person.run(), person.run(SurfaceConfig(stride=2))
    assert len(two) == pytest.approx(len(one) / 4, rel=0.1)
    assert float(two.scales[:, 1].mean() / one.scales[:, 1].mean()) == pytest.approx(2, rel=0.02)
    assert two.colors.std() > 0.1
    assert len(person.run(SurfaceConfig(stride=5))) > 25  # 64 is no multiple of 5


def test_it_is_frozen(person: Scene) -> None:
    person.images.requires_grad_()
    first, second = person.run(), person.run()
    person.images.requires_grad_(False)
    for name in ("means", "quats", "scales", "opacities", "colors", "features"):
        value = getattr(first, name)
        assert torch.equal(value, getattr(second, name))
        assert value.dtype == torch.float32
        assert not value.requires_grad
        assert value.isfinite().all()


def test_digest_follows_the_configuration() -> None:
    digests = {
        SurfaceBackbone(config).digest for config in (SurfaceConfig(), SurfaceConfig(2), SurfaceConfig(opacity=0.9))
    }
    assert len(digests) == 3
    assert SurfaceBackbone(SurfaceConfig()).digest in digests


def test_nobody_in_view(person: Scene) -> None:
    empty = replace(person, masks=torch.zeros_like(person.masks)).run()
    away = replace(person, vertices=person.vertices + 50).run()  # pixels, but no body to put them on
    for gaussians in (empty, away):
        assert len(gaussians) == 0
        assert gaussians.features is not None
        assert gaussians.features.shape == (0, 30)


def test_shapes_are_checked(person: Scene) -> None:
    with pytest.raises(ValueError, match=r"images: expected \(4, 64, 64, 3\), found \(3, 64, 64, 3\)"):
        replace(person, images=person.images[:3]).run()
    with pytest.raises(ValueError, match=r"masks: expected \(4, 64, 64\), found \(4, 64, 32\)"):
        replace(person, masks=person.masks[..., :32]).run()
    with pytest.raises(ValueError, match="vertex_transforms: expected a 4x4 matrix per vertex"):
        replace(person, vertex_transforms=person.vertex_transforms[:5]).run()


@pytest.mark.parametrize(
    "wrong", [{"stride": 0}, {"footprint": 0.0}, {"thickness": -1.0}, {"opacity": 1.5}, {"max_stretch": 0.5}]
)
def test_configuration_is_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="SurfaceConfig"):
        SurfaceConfig(**wrong)  # type: ignore[arg-type]


def assert_same_but_for_ties(found: Gaussians, expected: Gaussians, ties: int) -> None:
    """All pixels' Gaussians, and all of their fields to 1e-5, but for pixels whose ray Embree's float32 misjudges."""
    assert len(found) == len(expected)
    off = torch.zeros(len(found), dtype=torch.bool)
    for name in ("means", "quats", "scales", "opacities", "colors", "features"):
        mine, reference = getattr(found, name), getattr(expected, name)
        assert mine.shape == reference.shape
        error = (mine - reference).abs() / reference.abs().clamp_min(1)
        off |= (error > 1e-5).reshape(len(found), -1).any(1)
    assert off.sum() <= ties


@pytest.mark.parametrize("seed", range(4))
def test_it_computes_what_the_reference_does_in_any_pose(seed: int) -> None:
    """People in loose clothes, whose masks reach beyond the body, and mixed pixels at their outline."""
    body, rng = load_body(), np.random.default_rng(seed)
    angles = torch.tensor(0.25 * rng.normal(size=(1, 69))).float()
    pose = BodyPose(
        torch.tensor(rng.normal(size=10)).float(), torch.tensor([[0, 0.4 * seed, 0]]), angles, torch.zeros(1, 3)
    )
    posed = body.pose(pose)
    vertices, vertex_transforms = posed.vertices[0] - posed.vertices[0].mean(0), posed.vertex_transforms[0]
    cameras, chart = ring(3, 72, start=0.3), body.shaped_vertices(pose.betas).double().numpy()
    images, masks = photograph(vertices.double().numpy(), body.faces.numpy(), chart, cameras)
    loose = torch.nn.functional.max_pool2d(masks[:, None], (9, 5), 1, (4, 2))[:, 0]
    masks[:, 30:] = loose[:, 30:] * torch.tensor(rng.uniform(0.9, 1, (3, 42, 72))).float()
    scene = Scene(images, masks, cameras, vertices, vertex_transforms, body.faces)
    expected = surface_reference.surface_reference(scene.moment, SurfaceConfig())
    assert (column(expected, "borrowed") == 1).float().mean() > 0.1
    assert_same_but_for_ties(scene.run(), expected, ties=2)


def test_it_computes_what_the_reference_does_where_no_pixel_is_the_persons_alone(ball: Scene) -> None:
    faint = replace(ball, masks=0.9 * ball.masks)
    assert_same_but_for_ties(faint.run(), surface_reference.surface_reference(faint.moment, SurfaceConfig()), ties=1)


def test_rendering_the_gaussians_gives_the_images_back(person: Scene) -> None:
    """From the input cameras, and without holes from those between them."""
    gaussians = person.run()
    again = render(gaussians, person.cameras)
    cover = person.masks[..., None]
    white = person.images * cover + 1 - cover
    error = (again.rgb - white).square()
    assert -10 * torch.log10(error.mean()) > 24
    assert (again.alpha - cover).abs().mean() < 0.025
    chart = load_body().shaped_vertices(torch.zeros(10)).double().numpy()
    between = ring(4, 64, start=math.pi / 4)
    images, masks = photograph(person.vertices.double().numpy(), person.faces.numpy(), chart, between)
    rendered = render(gaussians, between)
    assert -10 * torch.log10((rendered.rgb - images * masks[..., None] - 1 + masks[..., None]).square().mean()) > 23.5
    inside = -torch.nn.functional.max_pool2d(-masks[:, None], 5, 1, 2)[:, 0] > 0.99
    assert inside.sum() > 100
    assert rendered.alpha[..., 0][inside].min() > 0.9
