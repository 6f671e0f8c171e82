"""Videos find their cameras by name, or it is said in one line why not."""

from __future__ import annotations

import numpy as np
import pytest

from hgg_pyg.data.calibration import Calibration, Entry, make_calibration
from hgg_pyg.prepare.calibrations import match_cameras
from hgg_pyg.types import UserError


def calibration(*names: str) -> Calibration:
    K = [[100.0, 0, 50], [0, 100.0, 50], [0, 0, 1]]
    return make_calibration([Entry(name, name, K, np.eye(3), [i, 0, 3.0]) for i, name in enumerate(names)])


@pytest.mark.parametrize(
    ("videos", "cameras", "pairs"),
    [
        (["cam01.mp4", "cam02.mp4"], ["cam01", "cam02"], "cam01 cam02"),
        (["CAM_1.MOV", "Cam-2.MOV"], ["cam01", "cam02"], "cam01 cam02"),
        (["Demo_cam02.mp4", "Demo_cam01.mp4"], ["cam01", "cam02"], "cam02 cam01"),
        (["int_cam01_img", "int_cam12_img"], ["cam1", "cam12"], "cam1 cam12"),
        (["Walk_Miqus_3_21386.avi", "Walk_Miqus_1_21387.avi"], ["21386", "21387"], "21386 21387"),
        (["01.mp4", "02.mp4"], ["left_01", "right_02"], "left_01 right_02"),
        (["WalkCam1.mp4", "WalkCam2.mp4"], ["cam1", "cam2"], "cam1 cam2"),
        (["take_cam1_left.mp4", "take_cam1.mp4"], ["cam1", "cam1_left"], "cam1_left cam1"),
        (["cam.01", "cam.02"], ["cam.01", "cam.02"], "cam.01 cam.02"),
        (["cam01.mp4", "old_cam01.mp4"], ["cam01", "cam02"], "cam01 -"),
    ],
)
def test_pairs(videos: list[str], cameras: list[str], pairs: str) -> None:
    known = calibration(*cameras)
    matched = match_cameras(videos, known)
    found = [known.names[matched.cameras[video]] if video in matched.cameras else "-" for video in videos]
    assert " ".join(found) == pairs


def test_what_has_no_partner_is_left_out_and_named() -> None:
    matched = match_cameras(["a.mp4", "cam02.mp4", "b.mp4"], calibration("cam01", "cam02", "cam03"))
    assert matched.cameras == {"cam02.mp4": 1}
    assert matched.without_calibration == ("a.mp4", "b.mp4")
    assert matched.without_video == ("cam01", "cam03")


@pytest.mark.parametrize(
    ("videos", "cameras", "message"),
    [
        (["a.mp4"], ["cam01"], "videos a.mp4; cameras cam01: expected .* found no match"),
        (["x_cam01.mp4", "y_cam01.mp4"], ["cam01"], "'x_cam01.mp4' and 'y_cam01.mp4' may both be of 'cam01'"),
        (["1_2.mp4"], ["1", "2"], "'1_2.mp4' may be of 1 or 2"),
        (["cam01.mp4", "cam01.avi"], ["cam01"], "'cam01.mp4' and 'cam01.avi' may both be"),
        (["cam01.mp4", "cam01.mp4"], ["cam01"], "expected every name once, found 'cam01.mp4' twice"),
    ],
)
def test_one_line_for_what_is_unclear(videos: list[str], cameras: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        match_cameras(videos, calibration(*cameras))
    assert "\n" not in str(refused.value)
