"""Cameras that start at other frames, told from people of known places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hgg_pyg.prepare.synchrony import Offset, estimate_offsets, late_cameras
from tests.prepare.scenes import person, ring, seen


def own_clocks(late: list[int], noise: float, still: bool = False) -> list[np.ndarray]:
    """V cameras, whose frame `late` shows the same moment."""
    true = person(100)
    true = np.repeat(true[:1], 100, 0) if still else true
    points2d = seen(true, ring(len(late)), noise)
    start = max(late)
    return [points2d[start - by : 80 + start - by, view] for view, by in enumerate(late)]


@pytest.mark.parametrize("late", [[0, 0, 4, 0], [0, -7, 0, 3, 0], [0, 12, 0], [0, 0, 0, 0]])
def test_offsets_are_those_of_the_option(late: list[int]) -> None:
    found = estimate_offsets(own_clocks(late, noise=6), ring(len(late)))
    assert [offset.frames for offset in found] == late
    assert [offset.camera for offset in found if offset.clear] == [f"cam{v:02d}" for v, by in enumerate(late) if by]
    for offset in found:
        assert offset.after <= offset.before


@pytest.mark.parametrize("late", [[0, 0, 0, 0], [0, 4, 0, 0]])
def test_a_calibration_that_is_off_is_not_taken_for_a_late_camera(late: list[int]) -> None:
    calibration = ring(4)
    turned = Rotation.from_rotvec([0.01, 0.02, 0]).as_matrix()
    off = replace(calibration, R=np.stack([*calibration.R[:2], turned @ calibration.R[2], calibration.R[3]]))
    found = estimate_offsets(own_clocks(late, noise=4), off)
    assert [offset.frames * offset.clear for offset in found] == late


def test_what_is_said_names_the_option() -> None:
    late = Offset("cam03", 2, 0.035, 0.031, (2, 2))
    assert late.said().startswith("cam03 seems 2 frames late: with --offset cam03=2 its rays")
    assert late.said().endswith("within 31 mm and not 35")
    assert (
        Offset("cam03", -1, 0.1, 0.01, (-1, -1)).said().startswith("cam03 seems 1 frame early: with --offset cam03=-1 ")
    )
    assert "8 frames late: with --offset cam03=8" in late.said(every=4)


def test_sentences_are_in_frames_of_the_footage() -> None:
    points2d = np.stack(own_clocks([0, 0, 4, 0], noise=4), 1)
    every_other = np.array([0, 2, 4, 6, 8, 12, 14, 18, *range(20, 80, 2)])
    (said,) = late_cameras(points2d[every_other], ring(4), (100 + every_other).tolist(), {"cam02": 1.5})
    assert said.startswith("cam02 seems 4 frames late: with --offset cam02=5.5 ")
    assert late_cameras(points2d[:1], ring(4), [3]) == ()
    assert late_cameras(np.stack(own_clocks([0, 0, 0], noise=4), 1), ring(3), range(80)) == ()


def test_of_two_cameras_the_difference_is_known() -> None:
    first, second = estimate_offsets(own_clocks([0, 6], noise=3), ring(2))
    assert second.frames - first.frames == 6


def test_who_stands_still_tells_nothing() -> None:
    found = estimate_offsets(own_clocks([0, 5, 0, 0], noise=6, still=True), ring(4))
    assert not any(offset.clear for offset in found)


def test_missing_and_wrong_landmarks_and_clips_of_other_lengths_do_no_harm() -> None:
    clocks = own_clocks([0, 4, 0, 0], noise=4)
    rng = np.random.default_rng(0)
    for points in clocks:
        points[rng.random(points.shape[:2]) < 0.3] = np.nan
        wrong = rng.random(points.shape[:2]) < 0.1
        points[wrong, :2] += 100
    clocks[2] = clocks[2][:55]
    clocks[3][:] = np.nan
    found = estimate_offsets(clocks, ring(4))
    assert [offset.frames for offset in found[:3]] == [0, 4, 0]
    assert not found[3].clear
