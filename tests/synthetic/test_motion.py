"""Motion of the synthetic people: within joint limits, without jumps, different from one half to the other."""

import numpy as np
import pytest

from hgg_pyg.avatar.motions.procedural import PROCEDURES, Style, joint_limits
from hgg_pyg.body import JOINTS
from hgg_pyg.synthetic.motion import Performance, draw_performance
from hgg_pyg.synthetic.rig import draw_rig

PERFORMANCES = [draw_performance(np.random.default_rng(seed)) for seed in range(40)]


def test_limits_are_mirrored():
    low, high = joint_limits()
    assert low.shape == high.shape == (len(JOINTS), 3)
    assert (low <= high).all()
    left, right = JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")
    np.testing.assert_array_equal(low[left], [low[right, 0], -high[right, 1], -high[right, 2]])
    knee = JOINTS.index("left_knee")
    assert low[knee].tolist() == [0, 0, 0]  # knees bend one way only


def test_every_motion_stays_within_the_limits():
    low, high = joint_limits()
    for performance in PERFORMANCES:
        angles, _ = performance.sample(50)
        assert (angles >= low).all()
        assert (angles <= high).all()


@pytest.mark.parametrize("name", PROCEDURES)
def test_motions_hardly_need_their_limits(name):
    """What is cut off shows as a stop in the movement: it must be rare and small before the slow sway is added."""
    low, high = joint_limits()
    time = np.linspace(0, 10, 200)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        style = Style(rng.uniform(0, 6), rng.uniform(0.8, 1.15), str(rng.choice(["left", "right"])), rng.random(8))
        values = PROCEDURES[name](time, style).values
        excess = np.maximum(np.maximum(low - values, values - high), 0)
        assert excess.max() < 25
        assert (excess > 0).mean() < 0.02
        assert np.ptp(values, axis=0).max() > 8  # something moves


def test_motion_has_no_jumps():
    for performance in PERFORMANCES:
        frames = 700
        angles, heading = performance.sample(frames)
        second = performance.seconds / frames
        assert np.abs(np.diff(angles, axis=0)).max() / second < 700  # degrees per second, a quick arm
        assert np.abs(np.diff(heading)).max() / second < 260


def test_the_second_half_shows_poses_that_the_first_does_not():
    for performance in PERFORMANCES:
        angles, _ = performance.sample(24)
        first, second = angles[:12].reshape(12, -1), angles[12:].reshape(12, -1)
        apart = np.linalg.norm(second[:, None] - first[None], axis=-1).min(1)
        among = np.linalg.norm(first[:, None] - first[None], axis=-1) + 1e9 * np.eye(12)
        assert apart.max() > 1.1 * np.median(among.min(1))


def test_the_person_turns_so_that_a_camera_sees_several_sides():
    for performance in PERFORMANCES:
        assert np.ptp(performance.sample(24)[1]) > 90


def test_performances_differ():
    assert len({performance.names for performance in PERFORMANCES}) > 20
    assert {name for performance in PERFORMANCES for name in performance.names} == set(PROCEDURES)
    assert all(len(set(performance.names)) == len(performance.names) in (2, 3) for performance in PERFORMANCES)


def test_more_frames_sample_the_same_motion():
    performance = PERFORMANCES[0]
    coarse, fine = performance.sample(8), performance.sample(24)  # frames lie in the middle of their share of time
    np.testing.assert_allclose(fine[0][1::3], coarse[0])
    np.testing.assert_allclose(fine[1][1::3], coarse[1])


def test_one_motion_alone_is_performed_as_it_is():
    """Without sway nothing is added to it, but for the limits; half way in time half of the turn is done."""
    style, (low, high) = Style(0.4, 1, "left", np.full(8, 0.5)), joint_limits()
    angles, heading = Performance(("walk",), (style,), (20, 90), (0, 0.3, 0)).sample(5)
    walk = PROCEDURES["walk"](7.0 * (np.arange(5) + 0.5) / 5, style).values
    np.testing.assert_allclose(angles, np.clip(walk, low, high))
    assert np.ptp(walk, axis=0).max() > 8
    assert heading[2] == pytest.approx(20 + 90 / 2)
    np.testing.assert_allclose(heading + heading[::-1], 2 * heading[2])
    assert (np.diff(heading) > 0).all()


def test_motions_take_over_from_one_another_at_their_borders():
    """Half way through the blend a joint is half way between them; away from it only one of them counts."""
    styles = tuple(Style(phase, 1, "right", np.full(8, 0.5)) for phase in (0.0, 1.0))
    performance = Performance(("walk", "squat"), styles, (0, 0), (0, 0.3, 0))
    angles, _ = performance.sample(7)  # at 0.5, 1.5, ... of 7 seconds; the border is at 3.5
    walk, squat = (PROCEDURES[n](np.arange(7) + 0.5, s).values for n, s in zip(("walk", "squat"), styles, strict=True))
    low, high = joint_limits()
    expected = np.concatenate([walk[:3], (walk[3:4] + squat[3:4]) / 2, squat[4:]])
    np.testing.assert_allclose(angles, np.clip(expected, low, high), atol=1e-12)


@pytest.mark.parametrize("count", [1, 4, 12])
def test_cameras_look_at_the_person_from_all_sides(count):
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.5, 0, -0.3], [0.5, 1.8, 0.3], (500, 3))
    views = draw_rig(rng, count, 100, points)
    assert len(views) == count
    inside = np.stack([view.project(points) for view in views])
    assert inside.min() > 3.9
    assert inside.max() < 96.1
    assert max(np.ptp(pixels, axis=0).max() for pixels in inside) > 80  # as large as fits
    for index, view in enumerate(views):
        np.testing.assert_allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(view.rotation) == pytest.approx(1)
        assert ((points @ view.rotation.T + view.translation)[:, 2] > 1).all()
        assert view.rotation[1, 1] < -0.8  # image rows run down
        x, _, z = view.center
        azimuth = np.degrees(np.arctan2(x, z))
        assert abs((azimuth - 360 * index / count + 180) % 360 - 180) < 8
    heights = [view.center[1] for view in views]
    assert max(heights[:: max(count // 4, 1)]) < 0.9 + 3.1 * np.sin(np.radians(10.5)) + 0.05


def test_who_is_to_turn_has_turned_before_the_last_quarter():
    for seed in range(20):
        turned = draw_performance(np.random.default_rng(seed), turn=170)
        _, heading = turned.sample(24)
        assert np.ptp(heading[:18]) >= 170
        free = draw_performance(np.random.default_rng(seed))
        assert (turned.names, turned.sway, turned.heading[0]) == (free.names, free.sway, free.heading[0])
        assert abs(turned.heading[1]) >= abs(free.heading[1])
