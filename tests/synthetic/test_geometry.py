"""Surfaces, rays, skeleton and garments of the synthetic people, against closed forms and the body model."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from hgg_pyg.body import JOINTS
from hgg_pyg.synthetic.dress_form import DressForm, extent, make_dress_form
from hgg_pyg.synthetic.garments import Garment
from hgg_pyg.synthetic.noise import Folds, Noise
from hgg_pyg.synthetic.optics import distort, undistort
from hgg_pyg.synthetic.person import draw_person
from hgg_pyg.synthetic.raycast import Figure, Part, View
from hgg_pyg.synthetic.skeleton import Skeleton, rotvecs_from_euler, skin
from hgg_pyg.synthetic.surface import Surface, sheet, vertex_normals
from hgg_pyg.types import BodyPose


def ball(subdivisions: int = 4, radius: float = 1.0) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces)
    return Surface(vertices, faces, vertices / radius, np.ones((len(vertices), 1)), vertices, vertices / radius)


def area(surface: Surface) -> float:
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.fixture(scope="module")
def form(body) -> DressForm:
    return make_dress_form(body, np.array([0.5, -1, 0.3, 0, 0.8, 0, 0, 0, 0, -0.4]))


def test_subdividing_keeps_the_surface_and_quadruples_the_triangles():
    coarse = ball(1)
    fine = coarse.subdivide()
    assert len(fine.faces) == 4 * len(coarse.faces)
    assert len(fine) == len(coarse) + 3 * len(coarse.faces) // 2  # V + E of a closed mesh
    np.testing.assert_allclose(area(fine), area(coarse))
    np.testing.assert_allclose(np.linalg.norm(fine.normals, axis=1), 1)


def test_a_cut_follows_the_level_line():
    cut = ball().cut(ball().vertices[:, 1] - 0.3)
    assert cut.vertices[:, 1].min() == pytest.approx(0.3)
    assert area(cut) == pytest.approx(2 * np.pi * 0.7, rel=5e-3)  # a spherical cap
    facing = (vertex_normals(cut.vertices, cut.faces) * cut.vertices).sum(1)
    assert (facing > 0.9).all()  # no triangle was turned over
    rest = ball().cut(0.3 - ball().vertices[:, 1])
    assert area(cut) + area(rest) == pytest.approx(area(ball()))


def test_offset_clears_and_leaves_the_border_where_it_is():
    half = ball().cut(ball().vertices[:, 1])
    lifted = half.offset(0.1, iterations=20)
    radii = np.linalg.norm(lifted.vertices, axis=1)
    assert radii.min() > 1.08  # two passes of smoothing may take a little of the clearance
    assert np.abs(lifted.vertices[:, 1].min()) < 0.02


def test_sheets_face_outwards():
    angles, heights = np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(1, 0, 5)
    points = np.stack(np.broadcast_arrays(np.sin(-angles), heights[:, None], np.cos(-angles)), -1)
    tube = sheet(points, np.ones((5, 24, 1)), closed=True)
    assert area(tube) == pytest.approx(2 * np.pi, rel=0.01)
    assert ((tube.normals * tube.vertices)[:, [0, 2]].sum(1) > 0.9).all()


def test_noise_has_unit_variance_and_folds_stay_in_range():
    rng = np.random.default_rng(0)
    points = rng.uniform(-5, 5, (20000, 3))
    values = Noise(rng, 0.3)(points)
    assert abs(values.mean()) < 0.05
    assert values.std() == pytest.approx(1, abs=0.05)
    heights = Folds(rng, 0.1, (1, 0.5, 1))(points)
    assert heights.min() >= 0
    assert heights.max() <= 1
    assert heights.std() > 0.1


def test_extent_of_a_ball():
    angles, heights = np.meshgrid(np.linspace(0, 6, 7), [0.0, 0.6, 2.0])
    found = extent([ball()], angles, heights, np.zeros(3), reach=2.0)
    np.testing.assert_allclose(found[0], 1, atol=5e-3)
    np.testing.assert_allclose(found[1], 0.8, atol=5e-3)
    assert (found[2] == 0).all()


def test_a_rendered_ball_has_the_right_size_colour_and_light():
    size, distance, focal = 64, 4.0, 90.0
    part = Part(ball(), lambda chart, normals: np.where(chart[:, :1] > 0, [1.0, 0, 0], [0, 0, 1.0]))
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    view = View(intrinsics, np.diag([1.0, -1, -1]), np.array([0, 0, distance]), size, size)
    np.testing.assert_allclose(view.center, [0, 0, distance])
    background = np.full((size, size, 3), 0.5, np.float32)
    rendered = Figure([part]).pose(np.eye(4)[None]).render(view, background)
    image, mask = rendered.rgb, rendered.cover
    radius = focal / np.sqrt(distance**2 - 1)
    assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert set(np.unique(mask)) <= {0, 0.25, 0.5, 0.75, 1}
    np.testing.assert_array_equal(rendered.parts, mask > 0)
    np.testing.assert_array_equal(image[mask == 0], background[mask == 0])
    left, right = image[size // 2, size // 2 - 10], image[size // 2, size // 2 + 10]
    assert left[2] > 0.6 > 0 == left[0]  # x points right in the image
    assert right[0] > 0.6 > 0 == right[2]
    column = image[mask == 1].max(1)
    assert column.min() >= 0.649
    assert image[size // 2 - 12, size // 2, 0] > image[size // 2 + 12, size // 2, 0]  # lit from above


def test_a_lens_is_undone_and_rays_go_where_points_are_seen():
    lens = np.array([-0.2, 0.1, 1e-3, -8e-4, -0.02])
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 2))
    shown = distort(points, lens)
    assert np.abs(shown - points).max() > 0.02
    np.testing.assert_allclose(undistort(shown, lens), points, atol=1e-12)
    np.testing.assert_array_equal(distort(points, np.zeros(5)), points)
    rotation = Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix()
    intrinsics = np.array([[90.0, 0, 31], [0, 95, 35], [0, 0, 1]])
    world = np.random.default_rng(1).uniform(-0.5, 0.5, (50, 3))
    for view in (View(intrinsics, rotation, np.array([0.1, 0, 3]), 64, 72, d) for d in (None, lens)):
        rays = view.directions(view.project(world))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        straight = (world - view.center) / np.linalg.norm(world - view.center, axis=1, keepdims=True)
        np.testing.assert_allclose(rays, straight, atol=1e-12)


def test_images_need_not_be_square():
    view = View(np.array([[60.0, 0, 40], [0, 60, 16], [0, 0, 1]]), np.diag([1.0, -1, -1]), np.array([0, 0, 4]), 64, 32)
    figure = Figure([Part(ball(), lambda chart, normals: np.ones((len(chart), 3)))]).pose(np.eye(4)[None])
    cover = figure.render(view, np.zeros((32, 64, 3), np.float32)).cover
    assert cover.shape == (32, 64)
    rows, columns = np.nonzero(cover)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(15.5, abs=0.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(39.5, abs=0.5)


def test_the_skeleton_moves_as_the_body_model_does(body, make_pose):
    pose = make_pose(2, seed=3)
    expected = body.pose(pose).vertices.numpy()
    rest, joints = body.shaped_vertices(pose.betas).numpy(), body.rest_joints(pose.betas).numpy()
    skeleton = Skeleton(joints.astype(float), body.parents.numpy(), JOINTS)
    for frame in range(2):
        rotvecs = torch.cat([pose.global_orient[frame], pose.body_pose[frame]]).reshape(-1, 3).double().numpy()
        joint_transforms = skeleton.joint_transforms(rotvecs, pose.transl[frame].double().numpy())
        np.testing.assert_allclose(skin(rest, body.weights.numpy(), joint_transforms), expected[frame], atol=2e-5)


def test_euler_angles_rotate_about_fixed_axes():
    rotvec = rotvecs_from_euler(np.array([[90.0, 90, 0]]))
    body_axis = Skeleton(np.zeros((1, 3)), np.array([-1]), ("root",)).joint_transforms(rotvec)[0, :3, :3]
    # y turns to z by x, then z to x by y.
    np.testing.assert_allclose(body_axis @ [0, 1, 0], [1, 0, 0], atol=1e-12)


def test_the_dress_form_is_the_body(body, form):
    rest = body.shaped_vertices(torch.tensor([0.5, -1, 0.3, 0, 0.8, 0, 0, 0, 0, -0.4])).numpy()
    np.testing.assert_allclose(form.surface.vertices[: len(rest)], rest, atol=1e-6)
    assert len(form.surface.faces) == 4 * len(body.faces)
    np.testing.assert_allclose(form.soft_weights.sum(1), 1)
    hands = form.share("left_hand", "right_hand") > 0.9
    assert np.abs(form.surface.vertices[hands, 0]).min() > 0.5
    assert np.abs(form.surface.chart[hands, 0]).max() < 0.45  # in the chart the arms hang
    assert form.eye[1] > form.nose[1]
    assert form.eye[0] > 0.01


def test_cloth_stays_off_the_skin_and_hides_what_is_beneath(form):
    y = form.surface.vertices[:, 1]
    paint = Noise(np.random.default_rng(0), 1.0)
    garment = Garment(form.height("neck") - 0.05 - y, lambda p: np.full(len(p), 0.02), lambda c, n: paint(c))
    hidden = np.where(y < form.height("pelvis"), 1.0, -1.0)
    sewn = garment.sew(form, hidden).surface
    lowest, highest = sewn.vertices[:, 1].min(), sewn.vertices[:, 1].max()
    assert highest < form.height("neck")
    assert lowest > form.height("pelvis") - 0.05
    skin_mesh = trimesh.Trimesh(form.surface.vertices, form.surface.faces, process=False)
    points = sewn.vertices[np.abs(sewn.vertices[:, 0]) < form.skeleton["left_wrist"][0]]
    distances = trimesh.proximity.closest_point(skin_mesh, points[::20])[1]
    assert distances.min() > 0.008
    assert np.quantile(distances, 0.05) > 0.018  # it comes nearer in creases only


def test_subjects_are_whole_and_differ(body):
    figures = []
    for index in range(2):
        subject = draw_person(np.random.default_rng(index), body)
        assert subject.betas.shape == (10,)
        rest = subject.figure.vertices(np.tile(np.eye(4), (len(JOINTS), 1, 1)))
        assert np.isfinite(rest).all()
        bare = body.shaped_vertices(torch.from_numpy(subject.betas)).numpy()
        assert (rest.max(0) >= bare.max(0) - 0.01).all()
        assert (rest.min(0) <= bare.min(0) + 0.01).all()
        assert (rest.max(0) < bare.max(0) + 0.15).all()
        figures.append(rest)
    assert len(figures[0]) != len(figures[1])


def test_a_bodysuit_is_as_large_as_the_body(body):
    dressed, suit = (draw_person(np.random.default_rng(3), body, clothes) for clothes in ("any", "bodysuit"))
    np.testing.assert_array_equal(dressed.betas, suit.betas)
    still = np.tile(np.eye(4), (len(JOINTS), 1, 1))
    bare = body.shaped_vertices(torch.from_numpy(suit.betas)).numpy()
    np.testing.assert_allclose(suit.figure.vertices(still)[: len(bare)], bare, atol=1e-5)
    assert len(dressed.figure.paints) > len(suit.figure.paints) == 1


def test_a_pose_uses_what_smpl_params_say(body):
    """A dressed figure and the bare body go to the same place under the same parameters."""
    subject = draw_person(np.random.default_rng(5), body)
    rotvecs = np.zeros((len(JOINTS), 3))
    rotvecs[0] = [0.1, 1.2, -0.2]
    transl = np.array([0.3, 0.9, -0.1])
    dressed = subject.figure.vertices(subject.skeleton.joint_transforms(rotvecs, transl))
    pose = BodyPose(
        torch.from_numpy(subject.betas),
        torch.tensor(rotvecs[:1], dtype=torch.float32),
        torch.zeros(1, 69),
        torch.tensor(transl[None], dtype=torch.float32),
    )
    bare = body.pose(pose).vertices[0].numpy()
    np.testing.assert_allclose(dressed.mean(0), bare.mean(0), atol=0.1)
    np.testing.assert_allclose(np.ptp(dressed, 0), np.ptp(bare, 0), atol=0.12)
