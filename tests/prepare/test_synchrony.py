"""Cameras that start at other frames, told from people of known places."""

from __future__ import annotations

import numpy as np
import pytest

from hgg_pyg.prepare.synchrony import Offset, estimate_offsets, late_cameras
from tests.prepare.scenes import person, ring, seen


def own_clocks(late: list[int], noise: float, still: bool = False) -> list[np.ndarray]:
    """V cameras, whose frame `late` shows the same moment."""
    true = person(60)
    true = np.repeat(true[:1], 60, 0) if still else true
    points2d = seen(true, ring(len(late)), noise)
    start = max(late)
    return [points2d[start - by : 40 + start - by, view] for view, by in enumerate(late)]


@pytest.mark.parametrize("late", [[0, 0, 4, 0], [0, -7, 0, 3, 0], [0, 12, 0], [0, 0, 0, 0]])
def test_offsets_are_those_of_the_option(late: list[int]) -> None:
    found = estimate_offsets(own_clocks(late, noise=6), ring(len(late)))
    assert [offset.frames for offset in found] == late
    assert [offset.camera for offset in found if offset.clear] == [f"cam{v:02d}" for v, by in enumerate(late) if by]
    for offset in found:
        assert offset.after <= offset.before


def test_what_is_said_names_the_option() -> None:
    late = Offset("cam03", 2, 0.035, 0.031, (2, 2))
    assert late.said() == "cam03 seems 2 frames late: --offset cam03=2 brings its rays from 35 to 31 mm off the others'"
    assert Offset("cam03", -1, 0.1, 0.01, (-1, -1)).said().startswith("cam03 seems 1 frame early: --offset cam03=-1 ")
    assert "8 frames late: --offset cam03=8" in late.said(every=4)


def test_sentences_are_in_frames_of_the_footage() -> None:
    points2d = np.stack(own_clocks([0, 0, 4, 0], noise=4), 1)
    every_other = np.array([0, 2, 4, 6, 8, 12, 14, 18, *range(20, 40, 2)])
    (said,) = late_cameras(points2d[every_other], ring(4), (100 + every_other).tolist(), {"cam02": 1.5})
    assert said.startswith("cam02 seems 4 frames late: --offset cam02=5.5 ")
    assert late_cameras(points2d[:1], ring(4), [3]) == ()
    assert late_cameras(np.stack(own_clocks([0, 0, 0], noise=4), 1), ring(3), range(40)) == ()


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
    clocks[2] = clocks[2][:25]
    clocks[3][:] = np.nan
    found = estimate_offsets(clocks, ring(4))
    assert [offset.frames for offset in found[:3]] == [0, 4, 0]
    assert not found[3].clear
