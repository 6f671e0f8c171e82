"""The page on bringing your own capture: its Python runs and is right, what it names exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel
from hgg_pyg.body.parameters import easymocap_to_smplx
from hgg_pyg.check import CheckConfig
from hgg_pyg.check import main as check
from hgg_pyg.data.layouts import LAYOUTS
from hgg_pyg.types import BodyPose

PAGE = Path(__file__).parents[2] / "docs" / "your_capture.md"
TEXT = PAGE.read_text("utf-8")
POINTS = np.random.default_rng(3).normal(size=(20, 3))


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> Iterator[dict[str, Any]]:
    """What the page's Python blocks define, run one after another in an empty folder."""
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("page"))
    found: dict[str, Any] = {}
    try:
        for block in re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S):
            exec(compile(block, str(PAGE), "exec"), found)
        yield found
    finally:
        patch.undo()


def test_camera_to_world(names):
    """A camera's points, moved to the world by their definition, come back through R and T."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix(), [1, 2, 3]
    world = POINTS @ matrix[:3, :3].T + matrix[:3, 3]
    R, T = names["from_camera_to_world"](matrix)
    np.testing.assert_allclose(world @ R.T + T, POINTS, atol=1e-12)
    R, T = names["from_opengl"](matrix)
    np.testing.assert_allclose(world @ R.T + T, POINTS * [1, -1, -1], atol=1e-12)  # y up, z back
    assert np.linalg.det(R) == pytest.approx(1)


def test_colmap(names):
    """QW first: a rotation by 90 degrees about x takes y to z."""
    R, T = names["from_colmap"]([np.sqrt(0.5), np.sqrt(0.5), 0, 0], [1, 2, 3])
    np.testing.assert_allclose(R @ [0, 1, 0] + T, [1, 2, 4], atol=1e-12)


def test_pytorch3d(names):
    """Rows times R, x left, y up."""
    rotation, shift = Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix(), np.array([0.1, 0.2, 3])
    R, T = names["from_pytorch3d"](rotation, shift)
    np.testing.assert_allclose(POINTS @ R.T + T, (POINTS @ rotation + shift) * [-1, -1, 1], atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)


def test_easymocap(names, body, make_pose):
    """Against V = R(Rh) LBS + Th by brute force, and against what the loaders use."""
    pose = make_pose(3)
    pelvis = body.rest_joints(pose.betas)[0]
    Rh, Th = pose.global_orient.double().numpy(), pose.transl.double().numpy()
    orient, transl = names["from_easymocap"](Rh, Th, pelvis.numpy())
    unplaced = _posed(body, pose, np.zeros((3, 3)), np.zeros((3, 3)))
    expected = np.einsum("fab,fnb->fna", Rotation.from_rotvec(Rh).as_matrix(), unplaced) + Th[:, None]
    np.testing.assert_allclose(_posed(body, pose, orient, transl), expected, atol=5e-6)
    ours = easymocap_to_smplx(torch.from_numpy(Rh), torch.from_numpy(Th), pelvis.double())
    np.testing.assert_allclose(transl, ours[1], atol=1e-6)


def test_moving_poses_to_another_world(names, body, make_pose):
    pose = make_pose(3)
    A, b = Rotation.from_rotvec([0.5, 0.1, -2]).as_matrix(), np.array([1.0, 2, 3])
    pelvis = body.rest_joints(pose.betas)[0].numpy()
    moved = names["move"](pose.global_orient.numpy(), pose.transl.numpy(), pelvis, A, b)
    before = _posed(body, pose, pose.global_orient.numpy(), pose.transl.numpy())
    np.testing.assert_allclose(_posed(body, pose, *moved), before @ A.T + b, atol=1e-5)


def test_the_written_capture_is_what_it_was_made_of(names, body):
    capture, vertices = names["capture"], names["vertices"]
    assert capture.layout == "AvatarReX"
    assert (capture.frames, capture.camera_names) == ((0, 1, 2), ("cam00", "cam01", "cam02", "cam03"))
    assert capture.left_out == ()
    np.testing.assert_allclose(body.pose(capture.poses).vertices, vertices, atol=1e-6)
    for frame, camera in np.ndindex(3, 4):
        K, view = capture.cameras.Ks[camera].numpy(), capture.cameras.viewmats[camera].numpy()
        seen = (vertices[frame] @ view[:3, :3].T + view[:3, 3]) @ K.T
        columns, rows = (seen[:, :2] / seen[:, 2:]).astype(int).T
        mask = capture.mask(frame, camera)
        assert mask[rows, columns].mean() > 0.99  # but for vertices on the border of two pixels
        np.testing.assert_allclose(capture.image(frame, camera)[mask == 1].mean(0), [0.75, 0.46, 0.31], atol=0.06)
    assert 0.05 < capture.mask(0, 0).mean() < 0.3


def test_check_calls_it_trainable(names, tmp_path, capsys):
    check(CheckConfig(names["capture"].root, out=tmp_path))  # exits if it is not
    assert "\ntrainable\n" in capsys.readouterr().out
    assert (tmp_path / "check.png").is_file()


def test_the_page_names_what_there_is(names):
    table = TEXT[TEXT.index("| file, key |") : TEXT.index("## Where calibration")]
    for key in names["params"] | dict.fromkeys(("K", "R", "T", "imgSize", "distCoeff", "expression", "jaw_pose")):
        assert f"`{key}`" in table
    for layout in LAYOUTS:
        assert f"| [{layout.name}](https://github.com/" in TEXT
    for path in re.findall(r"\]\((?!https?:|#)([^)]+)\)", TEXT):
        assert (PAGE.parent / path).exists()
    assert TEXT.rstrip().splitlines()[-1] == "`python -m hgg_pyg.check PATH`"


def _posed(body: BodyModel, pose: BodyPose, orient: np.ndarray, transl: np.ndarray) -> np.ndarray:
    global_orient, shift = (torch.tensor(value, dtype=torch.float32) for value in (orient, transl))
    return body.pose(BodyPose(pose.betas, global_orient, pose.body_pose, shift)).vertices.double().numpy()
