"""Who is taken among several people, of known places, whom cameras see, miss, find twice, and call left for right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.association import choose_person, find_people
from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.types import UserError
from tests.prepare.scenes import SIZE, person, ring, seen

FRAMES = 8
MIRROR = np.array(COCO_17.mirror)
Scene = list[list[list[Sighting]]]


def scene(people: list[np.ndarray], seed: int = 0) -> tuple[Scene, np.ndarray]:
    """People's landmarks [F, V, J, 3] in no order.

    Returns:
        sightings by frame and camera, and [F, V, P] which of them each person is.
    """
    rng = np.random.default_rng(seed)
    frames, views = people[0].shape[:2]
    found: Scene = [[[] for _ in range(views)] for _ in range(frames)]
    where = np.full((frames, views, len(people)), -1)
    for f in range(frames):
        for v in range(views):
            for one in rng.permutation(len(people)):
                if np.isfinite(people[one][f, v, :, 0]).any():
                    where[f, v, one] = len(found[f][v])
                    found[f][v].append(Sighting(people[one][f, v]))
    return found, where


def nobody(calibration: Calibration, seed: int) -> np.ndarray:
    """False sightings: another person at another place in every image. [F, V, J, 3]"""
    rng, points = np.random.default_rng(seed), []
    for view in range(len(calibration.names)):
        true = person(FRAMES * 7, seed + 20 * view)[rng.permutation(FRAMES * 7)[:FRAMES]]
        points.append(seen(true + rng.uniform(-0.8, 0.8, (FRAMES, 1, 3)), calibration.select([view]))[:, 0])
    return np.stack(points, 1)


def test_people_are_told_apart_and_ranked() -> None:
    calibration = ring(5)
    first, second = seen(person(FRAMES, 1), calibration), seen(person(FRAMES, 2, (1.1, -0.6)), calibration, seed=3)
    bystander = seen(person(FRAMES, 3, (-1.0, -1.0)), calibration, seed=4)
    second[:, 4] = np.nan  # four cameras
    bystander[:, 2:] = np.nan  # two cameras
    first[3, 1], second[5, 0] = np.nan, np.nan
    first[2:5, 2] = first[2:5, 2][:, MIRROR]  # left for right
    sightings, where = scene([bystander, second, first, nobody(calibration, 9)])
    people = find_people(sightings, calibration, COCO_17)
    assert len(people) == 3
    for rank, one in enumerate((2, 1, 0)):
        np.testing.assert_array_equal(people[rank].sighting, where[:, :, one])
    np.testing.assert_array_equal(choose_person(sightings, calibration, COCO_17), where[:, :, 2])
    np.testing.assert_array_equal(choose_person(sightings, calibration, COCO_17, 2), where[:, :, 1])
    for wrong in (0, 4):
        with pytest.raises(UserError, match=f"^--person: expected 1 to 3, found {wrong}$"):
            choose_person(sightings, calibration, COCO_17, wrong)


def test_people_who_cross_keep_their_number() -> None:
    calibration, way = ring(4), np.linspace(-1, 1, 16)[:, None, None]
    left = person(16, 5) + way * [0.9, 0, 0.2]
    right = person(16, 6) - way * [0.9, 0, -0.2] + [0, 0, 0.5]
    sightings, where = scene([seen(left, calibration), seen(right, calibration, seed=2)[:, :, :]])
    people = find_people(sightings, calibration, COCO_17)
    assert len(people) == 2
    followed = {(one.sighting == where[:, :, person]).all() for one in people for person in (0, 1)}
    assert followed == {True, False}


def test_someone_found_twice_is_one() -> None:
    calibration = ring(4)
    points = seen(person(FRAMES), calibration)
    again = points + np.random.default_rng(1).normal(0, 4, points.shape) * [1, 1, 0]
    again[:, 3] = np.nan
    people = find_people(scene([points, again])[0], calibration, COCO_17)
    assert len(people) == 1
    assert people[0].frames.all()


def test_frames_with_one_view_are_marked() -> None:
    calibration = ring(4)
    points = seen(person(FRAMES), calibration)
    points[2, 1:], points[5] = np.nan, np.nan
    people = find_people(scene([points])[0], calibration, COCO_17)
    assert np.flatnonzero(~people[0].frames).tolist() == [2, 5]
    assert (people[0].sighting[2] == -1).all()


def test_two_cameras_are_enough() -> None:
    calibration = ring(2)
    sightings, where = scene([seen(person(FRAMES), calibration), nobody(calibration, 3)])
    np.testing.assert_array_equal(choose_person(sightings, calibration, COCO_17), where[:, :, 0])


def turned(points: np.ndarray) -> np.ndarray:
    """As a network finds people in images that are turned left to right. [F, J, 3]"""
    flipped = points[:, MIRROR].copy()
    flipped[..., 0] = SIZE[0] - flipped[..., 0]
    return flipped


@pytest.mark.parametrize(("views", "place"), [(4, (0.0, 0.0)), (4, (0.7, 0.3)), (3, (0.5, -0.4)), (6, (0.6, 0.6))])
def test_a_mirrored_camera_is_named(views: int, place: tuple[float, float]) -> None:
    calibration = ring(views)
    points = seen(person(FRAMES, 4, place), calibration)
    points[:, 1] = turned(points[:, 1])
    with pytest.raises(UserError, match=r"^camera cam01: mirrored images"):
        choose_person(scene([points])[0], calibration, COCO_17)


def test_of_two_cameras_either_may_be_mirrored() -> None:
    calibration = ring(2)
    points = seen(person(FRAMES, 4, (0.8, 0.3)), calibration)
    points[:, 1] = turned(points[:, 1])
    with pytest.raises(UserError, match=r"^camera cam00 or cam01: mirrored images"):
        choose_person(scene([points])[0], calibration, COCO_17)


def test_all_cameras_may_be_mirrored_and_small_images_are_not() -> None:
    calibration = ring(4)
    points = seen(person(FRAMES), calibration)
    mirrored = np.stack([turned(points[:, view]) for view in range(4)], 1)
    with pytest.raises(UserError, match=r"images of all cameras: they look mirrored|cam02 and cam03: mirrored images"):
        choose_person(scene([mirrored])[0], calibration, COCO_17)
    with pytest.raises(UserError, match=r"^cameras that do not see each other: .* images 2 times as large"):
        choose_person(scene([points * (0.5, 0.5, 1)])[0], calibration, COCO_17)


def test_what_is_wrong_is_said_in_a_line() -> None:
    calibration = ring(4)
    points = seen(person(FRAMES, 1, (0.5, 0.2)), calibration)

    def said(points: np.ndarray, calibration: Calibration = calibration) -> str:
        with pytest.raises(UserError) as error:
            choose_person(scene([points])[0], calibration, COCO_17)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert said(np.full_like(points, np.nan)).startswith("no person: expected somebody in the images of 4 cameras")
    alone = points.copy()
    alone[:, [0, 1, 3]] = np.nan
    assert said(alone).startswith("camera cam02: expected somebody in at least two cameras")
    in_turns = np.full_like(points, np.nan)
    in_turns[::2, 0], in_turns[1::2, 1] = points[::2, 0], points[1::2, 1]
    assert said(in_turns).startswith("cameras cam00, cam01: expected people at the same moments")
    assert said(nobody(ring(3), 5), ring(3)).startswith(
        "cameras that do not see each other: expected a person whom two of cam"
    )
    elsewhere = points.copy()
    elsewhere[:, 3] = nobody(calibration, 5)[:, 3]
    assert said(elsewhere).startswith("camera cam03: expected a person where cam00, cam01, cam02 see one")
    exchanged = calibration.select([1, 0, 2, 3])
    names = said(points, replace(exchanged, names=calibration.names))
    assert names.startswith("camera cam00, cam01: expected a person where cam02, cam03 see one")
    assert "look exchanged" in names
    assert "found millimetres" in said(points, replace(calibration, T=calibration.T * 1000))
