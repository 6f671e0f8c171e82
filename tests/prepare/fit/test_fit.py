"""A body that moved is found again from its landmarks, in space, in images and with masks."""

import numpy as np
import pytest
import torch

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.kernels.raster import silhouette
from hgg_pyg.prepare.fit import FitConfig, fit_body
from hgg_pyg.prepare.fit.anchors import make_anchors
from hgg_pyg.prepare.fit.joints import JointPrior
from hgg_pyg.prepare.fit.start import lay_trunk
from hgg_pyg.prepare.landmark_sets import LANDMARK_SETS, MEDIAPIPE_33
from hgg_pyg.types import BodyPose, UserError
from tests.prepare.scenes import SIZE, ring, seen

FRAMES = 4
TIMES = np.arange(FRAMES) / 10


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body()


@pytest.fixture(scope="module")
def truth(body: BodyModel) -> BodyPose:
    """Arms hang down, a knee and the elbows bend more and more."""
    angles = torch.zeros(FRAMES, 23, 3)
    bend = torch.linspace(0.2, 0.6, FRAMES)
    names = body.joint_names[1:]
    for side, sign in (("left", 1), ("right", -1)):
        angles[:, names.index(f"{side}_shoulder"), 2] = -1.1 * sign
        angles[:, names.index(f"{side}_elbow"), 1] = -sign * bend
    angles[:, names.index("left_knee"), 0] = bend
    angles[:, names.index("left_hip"), 0] = -bend
    turn = torch.tensor([[0.0, 2.9, 0.0]]).expand(FRAMES, 3) + bend[:, None] * torch.tensor([0.0, 0.5, 0.0])
    betas = torch.tensor([0.8, -1.0, 0.5, 0, 0, 0, 0, 0, 0, 0])
    return BodyPose(betas, turn, angles.flatten(1), torch.tensor([[0.1, 0.1, -0.2]]).expand(FRAMES, 3))


@pytest.fixture(scope="module")
def points(body: BodyModel, truth: BodyPose) -> np.ndarray:
    """[F, 33, 3] exactly where the anchors are."""
    anchors = make_anchors(body, MEDIAPIPE_33)
    shaped = body.shaped_vertices(truth.betas)
    joints, _ = body.bend(truth, body.joints_of(shaped))
    maps = torch.einsum("aj,fjxy->faxy", anchors.weights, joints)
    places = torch.einsum("faxy,ay->fax", maps[..., :3, :3], anchors.regressor @ shaped) + maps[..., :3, 3]
    found = np.full((FRAMES, len(MEDIAPIPE_33), 3), np.nan)
    found[:, anchors.columns.numpy()] = (places + truth.transl[:, None]).numpy()
    return found


def off(body: BodyModel, pose: BodyPose, truth: BodyPose) -> float:
    """Median metres between joints."""
    return float((body.posed_joints(pose) - body.posed_joints(truth)).norm(dim=-1).median())


def masks_of(body: BodyModel, pose: BodyPose, calibration: Calibration):
    vertices = body.pose(pose).vertices.double().numpy()

    def mask(frame: int, view: int) -> np.ndarray | None:
        if view == 1:
            return None
        viewmat = np.eye(4)
        viewmat[:3, :3], viewmat[:3, 3] = calibration.R[view], calibration.T[view]
        shape = silhouette(vertices[frame], body.faces.numpy(), viewmat, calibration.K[view], SIZE)
        return shape.astype(np.uint8) * 255

    return mask


def test_landmarks_in_space_give_the_pose_back(body, truth, points) -> None:
    gone = points.copy()
    gone[1, MEDIAPIPE_33.index("left_wrist")] = np.nan
    told = []
    config = FitConfig(steps=250, mask_steps=0)
    fit = fit_body(body, MEDIAPIPE_33, gone, None, ring(3), None, TIMES, config, lambda *at: told.append(at))
    assert off(body, fit.pose, truth) < 0.018
    assert told[-1] == (250, 250)
    assert np.isnan(fit.distances[1, fit.names.index("left_wrist")])
    assert np.nanmedian(fit.distances) < 0.015


def test_one_wrong_view_of_a_limb_does_not_matter(body, truth, points) -> None:
    cameras = ring(4)
    landmarks = seen(points, cameras, noise=2.0)
    wrist = MEDIAPIPE_33.index("right_wrist")
    landmarks[:, 0, wrist, :2] += 300
    landmarks[0, 2] = np.nan
    fit = fit_body(body, MEDIAPIPE_33, points, landmarks, cameras, None, TIMES, FitConfig(steps=250, mask_steps=0))
    assert off(body, fit.pose, truth) < 0.018
    found = body.posed_joints(fit.pose)[:, body.joint_names.index("right_wrist")]
    true = body.posed_joints(truth)[:, body.joint_names.index("right_wrist")]
    assert (found - true).norm(dim=-1).max() < 0.06


def test_masks_tell_the_shape_that_landmarks_do_not(body, truth, points) -> None:
    cameras = ring(4, lens=())
    few = points.copy()
    trunk = [MEDIAPIPE_33.index(f"{side}_{name}") for side in ("left", "right") for name in ("shoulder", "hip")]
    few[:, [point for point in range(len(MEDIAPIPE_33)) if point not in trunk]] = np.nan
    rest = BodyPose(truth.betas, truth.global_orient, torch.zeros_like(truth.body_pose), truth.transl)
    masks = masks_of(body, rest, cameras)
    errors = []
    for steps in (0, 100):
        config = FitConfig(steps=60, mask_steps=steps, mask_batch=4, mask_size=128)
        fit = fit_body(body, MEDIAPIPE_33, few, None, cameras, masks if steps else None, TIMES, config)
        vertices = body.shaped_vertices(fit.pose.betas) - body.shaped_vertices(truth.betas)
        errors.append(float(vertices.norm(dim=-1).mean()))
    assert errors[1] < 0.8 * errors[0]


def test_a_clip_without_a_trunk_is_refused(body, points) -> None:
    nothing = np.full_like(points, np.nan)
    with pytest.raises(UserError, match="three of the shoulders and hips"):
        fit_body(body, MEDIAPIPE_33, nothing, None, ring(2), None, TIMES)


def test_the_trunk_is_laid_and_interpolated() -> None:
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    rest = np.array([[0.2, 0.4, 0], [-0.2, 0.4, 0], [0.1, 0, 0.02], [-0.1, 0, 0.02]])
    root, shift = np.array([0.0, 0.05, 0.0]), np.array([1.0, 2.0, 3.0])
    quarter = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    points = np.stack([rest, np.full_like(rest, np.nan), (rest - root) @ quarter.T + root + 2 * shift])
    points[0] += shift
    turns, places = lay_trunk(rest, points, names, root)
    np.testing.assert_allclose(turns[[0, 2]], [np.eye(3), quarter], atol=1e-9)
    np.testing.assert_allclose(places, [shift, 1.5 * shift, 2 * shift], atol=1e-9)
    np.testing.assert_allclose(turns[1] @ turns[1], quarter, atol=1e-9)


@pytest.mark.parametrize("name", LANDMARK_SETS)
def test_every_set_has_places_for_limbs_on_both_sides(body, name) -> None:
    anchors = make_anchors(body, LANDMARK_SETS[name])
    assert {f"{side}_{limb}" for side in ("left", "right") for limb in ("wrist", "ankle", "knee")} <= {*anchors.names}
    places = dict(zip(anchors.names, anchors.regressor @ body.v_template, strict=True))
    mirrored = torch.tensor([-1.0, 1, 1])
    for point, place in places.items():
        if point.startswith("left_"):
            torch.testing.assert_close(places[point.replace("left", "right")], place * mirrored, atol=2e-3, rtol=0)


def test_joints_bend_alike_on_both_sides(body) -> None:
    prior = JointPrior(body)
    free = [name for name, is_free in zip(body.joint_names[1:], prior.free.tolist(), strict=True) if is_free]
    for name in ("knee", "elbow", "shoulder", "hip"):
        for bend in ((0.7, 0.3, -0.4), (-0.7, -2.9, 0.9)):
            left, right = torch.zeros(2, 1, len(free), 3)
            left[0, free.index(f"left_{name}")] = torch.tensor(bend)
            right[0, free.index(f"right_{name}")] = torch.tensor(bend) * torch.tensor([1.0, -1, -1])
            torch.testing.assert_close(prior.cost(left), prior.cost(right))
    backwards, forwards = torch.zeros(2, 1, len(free), 3)
    backwards[0, free.index("left_knee"), 0], forwards[0, free.index("left_knee"), 0] = -0.5, 0.5
    assert prior.cost(backwards) > 10 * prior.cost(forwards)
