"""BVH of several families: limbs point as in the file, feet reach the ground, whatever the unit and the height."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions import load_motion
from hgg_pyg.types import UserError
from tests.avatar.motions.people import (
    SOURCES,
    Z_UP,
    bandai_namco,
    directions,
    joints_of,
    leg,
    lowest,
    movement,
    skeleton_of,
    write_bvh,
)


def read(path: Path, body, scale: float = 1.0, **options):
    skeleton = skeleton_of(body, scale)
    motion = load_motion(path, skeleton, **options)
    return motion, joints_of(motion, skeleton)


def turn_about_y(found: np.ndarray, source: np.ndarray, world: Rotation) -> Rotation:
    """The turn that is left between two sets of directions when the source's world has been set upright."""
    turn = Rotation.align_vectors(found.reshape(-1, 3), world.apply(source.reshape(-1, 3)))[0]
    assert np.linalg.norm(turn.apply([0, 1, 0]) - [0, 1, 0]) < 1e-3
    return turn


@pytest.mark.parametrize("up", ["y up", "z up"])
@pytest.mark.parametrize("name", SOURCES)
def test_limbs_point_as_in_the_file(tmp_path: Path, name: str, up: str, body) -> None:
    world = Z_UP if up == "z up" else Rotation.identity()
    source = SOURCES[name].turned(world)
    local, root = movement(source)
    root = world.apply(root)
    motion, found = read(write_bvh(tmp_path / "a.bvh", source, local, root), body)
    expected = source.places(local, root)
    turn = turn_about_y(directions(found), directions(expected), world.inv())
    upright = (turn * world.inv()).apply
    np.testing.assert_allclose(
        directions(found), upright(directions(expected).reshape(-1, 3)).reshape(8, -1, 3), atol=1e-4
    )
    # The pelvis goes the same way, as much further as the legs are longer, and the head stays on top.
    ways = [upright(expected["pelvis"] - expected["pelvis"][0]), found["pelvis"] - found["pelvis"][0]]
    np.testing.assert_allclose(ways[1], ways[0] * leg(found) / leg(expected), atol=1e-3)
    heads = [upright(expected["head"] - expected["pelvis"]), found["head"] - found["pelvis"]]
    cosines = (heads[0] * heads[1]).sum(1) / np.linalg.norm(heads[0], axis=1) / np.linalg.norm(heads[1], axis=1)
    assert cosines.min() > np.cos(np.radians(15))
    assert abs(lowest(motion, body).min()) < 0.02


def test_bones_that_lie_along_x_at_rest(tmp_path: Path, body) -> None:
    source, standing = bandai_namco()
    local, root = movement(source, most=0)
    local = local + standing
    motion, found = read(write_bvh(tmp_path / "standing.bvh", source, local, root), body)
    assert np.abs(motion.body_pose.numpy()).max() < np.radians(8)  # nearly the T-pose, in all joints, toes included
    assert abs(lowest(motion, body)[0]) < 0.02
    bent, swing = local.copy(), np.linspace(0, 60, len(local))
    knee, elbow = (source.names.index(name) for name in ("LowerLeg_L", "UpperArm_R"))
    bent[:, knee, 0] -= swing  # about z, which points to the person's front or back: found out by the plain way
    bent[:, elbow, 1] += swing
    _, found = read(write_bvh(tmp_path / "bent.bvh", source, bent, root), body)
    expected = directions(source.places(bent, root))
    turn = turn_about_y(directions(found), expected, Rotation.identity())
    np.testing.assert_allclose(directions(found), turn.apply(expected.reshape(-1, 3)).reshape(8, -1, 3), atol=1e-4)


def test_it_starts_in_the_middle_and_faces_ahead(tmp_path: Path, body) -> None:
    source = SOURCES["CMU"]
    local, root = movement(source)
    local[:, 0] += [0, 0, 130]  # about y
    motion, found = read(write_bvh(tmp_path / "a.bvh", source, local, root + np.array([5.0, 0, 3])), body)
    front = Rotation.from_rotvec(motion.global_orient[0].numpy()).apply([0, 0, 1])
    assert abs(front[0]) < 1e-5
    assert front[2] > 0.5
    assert np.abs(found["pelvis"][0, [0, 2]]).max() < 1e-5


def test_units_and_heights(tmp_path: Path, body) -> None:
    source = SOURCES["Mixamo"]
    local, root = movement(source)
    metres, places = read(write_bvh(tmp_path / "a.bvh", source, local, root), body)
    larger = type(source)(source.names, source.parents, source.offsets * 39.37, source.ours)
    inches, _ = read(write_bvh(tmp_path / "b.bvh", larger, local, root * 39.37), body)
    np.testing.assert_allclose(inches.transl, metres.transl, atol=1e-5)
    np.testing.assert_allclose(inches.body_pose, metres.body_pose, atol=1e-5)
    tall, tall_places = read(tmp_path / "a.bvh", body, scale=1.25)
    np.testing.assert_allclose(tall.body_pose, metres.body_pose, atol=1e-5)
    for name in ("pelvis", "left_foot", "head"):
        np.testing.assert_allclose(tall_places[name], 1.25 * places[name], atol=1e-4)


def test_a_jump_stays_a_jump(tmp_path: Path, body) -> None:
    source = SOURCES["CMU"]
    local, root = movement(source, most=0)
    motion, _ = read(write_bvh(tmp_path / "a.bvh", source, local, root), body)
    heights = lowest(motion, body)
    assert abs(heights[[0, 1, 2, 4, 5]]).max() < 0.02
    assert 0.25 < heights[3] < 0.35


def test_frames_per_second_and_resampling(tmp_path: Path, body) -> None:
    source = SOURCES["CMU"]
    path = write_bvh(tmp_path / "a.bvh", source, *movement(source, frames=9), frame_time="0.0083333")
    motion, _ = read(path, body)
    assert (motion.fps, len(motion)) == (120, 9)
    slower, _ = read(path, body, fps=30)
    assert (slower.fps, len(slower)) == (30, 3)
    np.testing.assert_allclose(slower.body_pose, motion.body_pose[::4], atol=1e-5)
    np.testing.assert_allclose(slower.transl, motion.transl[::4], atol=1e-5)
    few, _ = read(path, body, fps=60, max_frames=2)
    np.testing.assert_allclose(few.body_pose, motion.body_pose[[0, 2]], atol=1e-5)


def test_a_first_frame_that_is_a_pose_of_its_own_is_left_out(tmp_path: Path, body, said) -> None:
    source = SOURCES["CMU"]
    local, root = movement(source, frames=8)
    local[:, source.names.index("LeftArm")] += [-70, 0, 0]
    with_pose = np.concatenate([np.zeros_like(local[:1]), local]), np.concatenate([root[:1], root])
    motion, _ = read(write_bvh(tmp_path / "a.bvh", source, *with_pose), body)
    plain, _ = read(write_bvh(tmp_path / "b.bvh", source, local, root), body)
    np.testing.assert_allclose(motion.body_pose, plain.body_pose, atol=1e-5)
    assert "1 frame left out" in said.text


def long(text: str) -> str:
    """Half a million frames of nearly nothing."""
    return text.partition("Frames: 6")[0] + "Frames: 500000\nFrame Time: 0.1\n" + "0\n" * 500_000


BROKEN = {
    "no motion": (lambda t: t.partition("MOTION")[0], "no line MOTION"),
    "cut": (lambda t: t[: len(t) * 9 // 10], "cut off or damaged|finite numbers"),
    "no hierarchy": (lambda t: t.replace("HIERARCHY", "ROOTS"), "HIERARCHY in the first line"),
    "word": (lambda t: t[:-20] + " x" + t[-20:], "finite numbers within"),
    "NaN": (lambda t: t.rsplit(" ", 1)[0] + " nan\n", "finite numbers within"),
    "huge": (lambda t: t.rsplit(" ", 1)[0] + " 1e30\n", "finite numbers within"),
    "count": (lambda t: t.replace("Frames: 6", "Frames: 7"), "expected 7 rows"),
    "none": (lambda t: t.partition("Frames: 6")[0] + "Frames: 0\nFrame Time: 0.1\n", "1 to 1,000,000 frames"),
    "no frames": (lambda t: t.replace("Frames:", "Pictures:"), "'Frames: N'"),
    "no time": (lambda t: t.replace("Time: 0.0333333", "Time: 0"), "0.1 to 10,000 frames per second"),
    "offset": (lambda t: t.replace("OFFSET", "OFFSET 1", 1), "OFFSET with three"),
    "channels": (lambda t: t.replace("CHANNELS 6", "CHANNELS 5"), "CHANNELS with their number"),
    "twice": (lambda t: t.replace("Xposition Yposition", "Xposition Xposition"), "CHANNELS with their number"),
    "brace": (lambda t: t.replace("}\nMOTION", "MOTION"), "still open"),
    "another brace": (lambda t: t.replace("}\nMOTION", "}\n}\nMOTION"), "one } more"),
    "two roots": (lambda t: t.replace("JOINT", "ROOT", 1), "one ROOT"),
    "names": (lambda t: t.replace("LeftUpLeg", "Wheel"), "joints named as"),
    "lying": (lambda t: t.replace("OFFSET 0.02 -0.41 0.0", "OFFSET 0.02 0.0 0.41"), "rest pose that stands"),
    "no length": (lambda t: t.replace("OFFSET 0.28 0.0 0.0", "OFFSET 0 0 0"), "in two places"),
    "hips in one": (lambda t: t.replace("OFFSET 0.1 ", "OFFSET 0 ").replace("OFFSET -0.1 ", "OFFSET 0 "), "hip beside"),
    "two names": (lambda t: t.replace("JOINT Neck1", "JOINT LeftUpLeg"), "CMU, Mixamo they are there, but hang from"),
    "empty lines": (lambda t: "HIERARCHY" + 1_000_000 * "\n", "no line MOTION"),
    "braces": (lambda t: "ROOT a" + 2_000_000 * "{" + "\nMOTION\n", "at most 1,048,576 characters before"),
    "wide and long": (lambda t: long(t), "10,000,000 joints in all frames together, found 23 in 500,000"),
    "no time at all": (lambda t: t.replace("Time: 0.0333333", "Time: 1e-320"), "0.1 to 10,000 frames per second"),
    "binary": (lambda t: "\0\1\2", "no line MOTION"),
    "empty": (lambda t: "", "no line MOTION"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_line(tmp_path: Path, name: str, body) -> None:
    source = SOURCES["CMU"]
    path = write_bvh(tmp_path / "a.bvh", source, *movement(source))
    change, said = BROKEN[name]
    text = change(path.read_text())
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_motion(path, skeleton_of(body))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
