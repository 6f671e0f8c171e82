"""Moments and cameras with an empty mask where a person is are not for training."""

import numpy as np
import pytest

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.selection import select
from hgg_pyg.types import UserError

SIZE = (100, 100)


def cameras(count):
    K = np.tile(np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]]), (count, 1, 1))
    T = np.tile([0.0, 0, 4], (count, 1))
    names = tuple(f"cam{n}" for n in range(count))
    return Calibration(names, K, np.tile(np.eye(3), (count, 1, 1)), T, np.zeros((count, 5)), (SIZE,) * count)


@pytest.fixture
def people():
    """Ten moments of eight landmarks in view of three cameras, all of them seen."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (10, 8, 3))
    return points, np.ones((10, 3), bool)


def test_all_is_kept_where_all_is_seen(people):
    kept = select(*people, cameras(3), SIZE, range(10))
    assert kept.frames.tolist() == list(range(10))
    assert kept.cameras.tolist() == [0, 1, 2]
    assert not kept.left_out


def test_what_was_missed_is_left_out_and_counted(people):
    points, seen = people
    seen[[2, 3], 1] = False
    points[7, 3:] = np.nan
    points[5] += [9.0, 0, 0]  # beside all images
    seen[5] = False
    kept = select(points, seen, cameras(3), SIZE, range(100, 110))
    assert kept.frames.tolist() == [0, 1, 4, 5, 6, 8, 9]
    assert [str(item) for item in kept.left_out] == [
        "2 frames left out: the person is before cam1 and was not found in its image (102, 103)",
        "1 frame left out: too few cameras see the person (107)",
    ]


def test_a_camera_that_misses_the_person_most_of_the_time_is_left_out(people):
    points, seen = people
    seen[:7, 2] = False
    kept = select(points, seen, cameras(3), SIZE, range(10))
    assert kept.cameras.tolist() == [0, 1]
    assert kept.frames.tolist() == list(range(10))
    assert kept.left_out[0].names == ("cam2",)


def test_nothing_left_is_one_line(people):
    points, seen = people
    with pytest.raises(UserError, match="expected a moment in which the person is found"):
        select(points * np.nan, seen, cameras(3), SIZE, range(10))
