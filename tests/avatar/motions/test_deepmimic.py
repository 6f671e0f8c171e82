"""DeepMimic's humanoid: x forward and z to the right, hanging arms at rest, knees and elbows of one angle."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions import load_motion
from hgg_pyg.body import BodyModel
from hgg_pyg.types import UserError
from tests.avatar.motions.people import joints_of, leg, lowest, skeleton_of

# The columns of a row where joints begin.
COLUMN = {"root": 4, "chest": 8, "neck": 12, "right_hip": 16, "right_knee": 20, "right_ankle": 21, "right_shoulder": 25,
          "right_elbow": 29, "left_hip": 30, "left_knee": 34, "left_ankle": 35, "left_shoulder": 39,
          "left_elbow": 43}  # fmt: skip
STILL = [1.0, 0, 0, 0]


def write(path: Path, frames: int = 4, duration: float = 1 / 30, **turns) -> Path:
    """Somebody who stands, but for joints: angles about x, y, z of their parents' frames or one number, radians."""
    rows = np.zeros((frames, 44))
    rows[:, 0], rows[-1, 0] = duration, 0
    rows[:, 1:4] = [0, 0.87, 0]
    rows[:, 1] = np.linspace(0, 1, frames)  # forwards
    for joint, column in COLUMN.items():
        if joint.endswith(("knee", "elbow")):
            rows[:, column] = turns.get(joint, 0)
        else:
            quat = Rotation.from_euler("xyz", turns.get(joint, (0, 0, 0))).as_quat()
            rows[:, column : column + 4] = np.roll(quat, 1)
    path.write_text(json.dumps({"Loop": "wrap", "Frames": rows.tolist()}))
    return path


def way(places: dict[str, np.ndarray], start: str, end: str) -> np.ndarray:
    found = (places[end] - places[start])[0]
    return found / np.linalg.norm(found)


def test_it_stands_and_walks_ahead(tmp_path: Path, body: BodyModel) -> None:
    skeleton = skeleton_of(body)
    motion = load_motion(write(tmp_path / "a.txt"), skeleton)
    places = joints_of(motion, skeleton)
    assert (motion.fps, len(motion)) == (30, 4)
    for side in ("left", "right"):
        for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            np.testing.assert_allclose(way(places, f"{side}_{start}", f"{side}_{end}"), [0, -1, 0], atol=1e-4)
    way_on = places["pelvis"][-1] - places["pelvis"][0]
    np.testing.assert_allclose(way_on, [0, 0, leg(places) / (0.421546 + 0.40987)], atol=5e-3)
    assert abs(lowest(motion, body)).max() < 0.02


def test_limbs_bend_as_they_should(tmp_path: Path, body: BodyModel) -> None:
    skeleton = skeleton_of(body)
    turns = {"left_knee": -1.0, "right_elbow": 1.2, "right_shoulder": (-np.pi / 2, 0, 0), "left_hip": (0, 0, 0.5)}
    motion = load_motion(write(tmp_path / "a.json", **turns), skeleton)
    places = joints_of(motion, skeleton)
    np.testing.assert_allclose(way(places, "left_hip", "left_knee"), [0, -np.cos(0.5), np.sin(0.5)], atol=1e-4)
    np.testing.assert_allclose(way(places, "left_knee", "left_ankle"), [0, -np.cos(0.5), -np.sin(0.5)], atol=1e-4)
    np.testing.assert_allclose(way(places, "right_shoulder", "right_elbow"), [-1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(way(places, "right_elbow", "right_wrist"), [-np.cos(1.2), 0, np.sin(1.2)], atol=1e-4)
    np.testing.assert_allclose(way(places, "left_shoulder", "left_elbow"), [0, -1, 0], atol=1e-4)


ROW = [1 / 30, 0, 0.9, 0, *STILL, *STILL, *STILL, *STILL, 0, *STILL, *STILL, 0, *STILL, 0, *STILL, *STILL, 0]
BROKEN = {
    "cut": ('{"Frames": [[1,', "what is not JSON"),
    "a list": ('["Frames"]', "found"),
    "no rows": ('{"Frames": []}', "'Frames': expected"),
    "short rows": (json.dumps({"Frames": [ROW[:-1]]}), r"expected shape \(T, 44\)"),
    "another character": (json.dumps({"Frames": [[0.03] * 19] * 3}), r"expected shape \(T, 44\)"),
    "uneven rows": (json.dumps({"Frames": [ROW, ROW[:3]]}), "'Frames': expected numbers"),
    "words": (json.dumps({"Frames": [["a", *ROW[1:]]]}), "'Frames': expected numbers"),
    "durations": (json.dumps({"Frames": [ROW, [0.1, *ROW[1:]], ROW]}), "durations of one length"),
    "no duration": (json.dumps({"Frames": [[0, *ROW[1:]]] * 3}), "durations of one length"),
    "long": (json.dumps({"Frames": [[60, *ROW[1:]]] * 3}), "0.1 to 10,000 frames per second"),
    "no rotation": (json.dumps({"Frames": [[*ROW[:4], 0, *ROW[5:]]] * 2}), "root: expected quaternions of length 1"),
    "infinite": (json.dumps({"Frames": [[*ROW[:3], float("inf"), *ROW[4:]]] * 2}), "expected finite numbers"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_line(tmp_path: Path, name: str, body: BodyModel) -> None:
    assert len(ROW) == 44
    text, said = BROKEN[name]
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_motion(path, skeleton_of(body))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
