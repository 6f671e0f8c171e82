"""What people bring: landmarks in images and in space, and masks; read as they are meant, or refused in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hgg_pyg.prepare.given import read_landmarks, read_masks, read_points3d
from hgg_pyg.prepare.landmark_sets import COCO_17, HALPE_26, OPENPOSE_25
from hgg_pyg.types import UserError
from tests.prepare.scenes import SIZE, person, ring, seen

CALIBRATION = ring(3)
CAMERAS = CALIBRATION.names
SIZES = [SIZE] * 3
POINTS = seen(person(5), CALIBRATION)  # F V J 3


def write(path: Path, **changed: Any) -> Path:
    content = {"points2d": POINTS, "cameras": list(CAMERAS), "landmarks": "coco17"} | changed
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


def read_all(path: Path, frames: int = 5) -> np.ndarray:
    """[F, V, J, 3] of files with one person in each image."""
    given = read_landmarks(path, CAMERAS, SIZES, [frames] * 3)
    rows = given.sightings(np.tile(np.arange(frames)[:, None], (1, 3)), [(1, 1)] * 3)
    return np.array([[people[0].points for people in row] for row in rows])


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"points2d": POINTS.swapaxes(0, 1)},
        {"points2d": POINTS.swapaxes(0, 1), "axes": "VFJ"},
        {"points2d": POINTS[:, ::-1], "cameras": list(CAMERAS)[::-1]},
        {"landmarks": list(COCO_17.points)},
        {"frames": np.arange(5)},
    ],
)
def test_arrays_of_either_order(tmp_path: Path, changed: dict[str, Any]) -> None:
    np.testing.assert_array_equal(read_all(write(tmp_path / "own.npz", **changed)), POINTS)


def test_frames_scales_and_what_is_missing(tmp_path: Path) -> None:
    points = POINTS.astype(np.float32)
    points[0, 0, 3], points[1, 1, 4, 2], points[2, 2] = np.nan, 0, 0
    path = write(tmp_path / "own.npz", points2d=points, frames=np.array([2, 4, 6, 8, 9]))
    given = read_landmarks(path, CAMERAS, SIZES, [10] * 3)
    frames = np.array([[2, 2, 2], [4, 4, 4], [5, 6, 6]])
    rows = given.sightings(frames, [(0.5, 0.5), (1, 1), (1, 1)])
    np.testing.assert_allclose(rows[1][0][0].points, POINTS[1, 0] * (0.5, 0.5, 1), rtol=1e-6)
    assert np.isnan(rows[0][0][0].points[3]).tolist() == [True, True, False]
    assert rows[0][0][0].points[3, 2] == 0
    assert np.isnan(rows[1][1][0].points[4, 0])
    assert rows[2] == [[], rows[2][1], []]  # no such frame; nobody in it
    assert given.missing(frames).tolist() == [[False] * 3, [False] * 3, [True, False, False]]


def openpose(folder: Path, points: np.ndarray, name: str) -> None:
    """[F, J, 3] as a file a frame, with a second person of zeros."""
    folder.mkdir(parents=True)
    for frame, one in enumerate(points - (0.5, 0.5, 0)):
        people = [{"person_id": [-1], "pose_keypoints_2d": one.reshape(-1).tolist(), "face_keypoints_2d": []}]
        people.append({"pose_keypoints_2d": [0.0] * one.size})
        (folder / name.format(frame)).write_text(json.dumps({"version": 1.3, "people": people}))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("{}", "video_{:012d}_keypoints.json"), ("{}_json", "{:06d}.json"), ("{}-pose", "cam_7_{:05d}.json")],
)
def test_a_folder_of_openpose(tmp_path: Path, folder: str, name: str) -> None:
    for view, camera in enumerate(CAMERAS):
        openpose(tmp_path / folder.format(camera), POINTS[:, view], name)
    np.testing.assert_allclose(read_all(tmp_path), POINTS)


def test_a_file_a_camera_of_mmpose(tmp_path: Path) -> None:
    for view, camera in enumerate(CAMERAS):
        frames = []
        for frame, one in enumerate(POINTS[:, view] - (0.5, 0.5, 0)):
            person = {"keypoints": one[:, :2].tolist(), "keypoint_scores": one[:, 2].tolist()}
            frames.append({"frame_id": frame + 1, "instances": [person]})
        content = {"meta_info": {}, "instance_info": frames} if view else frames
        (tmp_path / f"{camera}.json").write_text(json.dumps(content))
    np.testing.assert_allclose(read_all(tmp_path), POINTS)


@pytest.mark.parametrize("known", [OPENPOSE_25, HALPE_26])
def test_the_set_is_told_by_the_number_of_points(tmp_path: Path, known: Any) -> None:
    points = np.full((2, len(known), 3), 300.0) * (1, 1, 1e-3)
    for camera in CAMERAS:
        openpose(tmp_path / camera, points, "{:012d}_keypoints.json")
    assert read_landmarks(tmp_path, CAMERAS, SIZES).landmarks is known


LINES = [
    ({"points2d": None}, "key 'points2d' is missing"),
    ({"cameras": None}, "key 'cameras' is missing"),
    ({"points2d": POINTS[0]}, r"expected numbers \[frames, cameras, points, 3\], found float64 \[3, 17, 3\]"),
    ({"points2d": POINTS[:, :2]}, "expected one axis of 3, as many as 'cameras'"),
    ({"points2d": POINTS[:3]}, "key 'axes' is missing"),
    ({"axes": "FJV"}, "key 'axes': expected FVJ or VFJ, found 'FJV'"),
    ({"cameras": ["cam00", "cam01", "front"]}, "expected the cameras of the .*, cam00, cam01, cam02; found 'front'"),
    ({"cameras": ["cam00", "cam01", "cam01"]}, "expected every camera once, found 'cam01' twice"),
    ({"cameras": ["cam00", "cam01"], "points2d": POINTS[:, :2]}, "'cam02' is missing"),
    ({"landmarks": "coco18"}, "expected one of coco17, openpose25, halpe26, mediapipe33, or a name for each point"),
    ({"landmarks": "openpose25"}, "expected 25 points, as openpose25 has, found 17"),
    ({"landmarks": ["a", "b"]}, "expected a name for each of 17 points, found 2"),
    ({"landmarks": [f"p{i}" for i in range(17)]}, "expected names such as left_shoulder and right_hip, found p0, p1"),
    ({"landmarks": ["nose"] * 17}, "expected every name once, found 'nose' twice"),
    ({"points2d": POINTS[:4]}, "expected 5 frames, as the footage has, found 4; say which"),
    ({"frames": np.arange(4)}, "key 'frames': expected 5 whole numbers from 0"),
    ({"frames": np.arange(5.0)}, "key 'frames': expected 5 whole numbers from 0"),
    ({"frames": np.array([0, 1, 2, 3, 3])}, "key 'frames': expected different numbers"),
    ({"frames": np.arange(5) + 4}, "camera 'cam00': expected frames from 0 to 4, as its footage has, found 8"),
    ({"points2d": POINTS / (*SIZE, 1)}, "expected pixels of images of 1000x1200, found x from 0.* multiply"),
    ({"points2d": POINTS * (4, 4, 1)}, "expected pixels of images of 1000x1200, found x from"),
    ({"points2d": POINTS * (1, 1, 100)}, "expected confidences from 0 to 1, found 90"),
    ({"points2d": np.where(POINTS > 500, np.inf, POINTS)}, "expected finite numbers or NaN, found Inf"),
    ({"points2d": POINTS * np.nan}, "expected landmarks of somebody, found none: all are NaN"),
    ({"points2d": POINTS.astype(object)}, "own.npz"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "line"), LINES)
def test_wrong_arrays_are_refused_in_a_line(tmp_path: Path, changed: dict[str, Any], line: str) -> None:
    path = write(tmp_path / "own.npz", **changed)
    with pytest.raises(UserError, match=line) as error:
        read_landmarks(path, CAMERAS, SIZES, [5] * 3)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_wrong_json_is_refused_in_a_line(tmp_path: Path) -> None:
    def said(name: str, content: str) -> str:
        folder = tmp_path / f"try{len(list(tmp_path.iterdir()))}"
        for camera in CAMERAS:
            path = folder / name.format(camera)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        with pytest.raises(UserError) as error:
            read_landmarks(folder, CAMERAS, SIZES)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "expected one folder or file of landmarks for camera 'cam00'" in said("other/{}.json", "{}")
    assert "expected files such as cam01_" in said("{}/notes.json", "{}")
    assert "found what is not JSON" in said("{}/0.json", "{")
    assert "found persons" in said("{}/0.json", '{"persons": []}')
    assert "found nobody" in said("{}/0.json", '{"people": []}')
    assert "expected three numbers a point" in said("{}/0.json", '{"people": [{"pose_keypoints_2d": [1, 2]}]}')
    assert "expected people of so many points: 17" in said(
        "{}/0.json", '{"people": [{"pose_keypoints_2d": [1, 2, 1]}]}'
    )
    assert "expected the numbers of keypoints" in said("{}/0.json", '{"people": [{"pose_keypoints_2d": ["x"]}]}')
    assert "instances" in said("{}.json", '{"frames": 3}')
    assert "for each of 2 in 'keypoint_scores'" in said(
        "{}.json", '[{"instances": [{"keypoints": [[1, 2]], "keypoint_scores": [1, 1]}]}]'
    )


def test_points_in_space(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    points = person(5).copy()
    points[1, 2, 0] = np.nan
    np.savez(path, points3d=points, landmarks="coco17", frames=np.arange(5) * 2)
    given = read_points3d(path, CALIBRATION, SIZES)
    found = given.at([2, 3, 8])
    np.testing.assert_array_equal(np.isnan(found).any(-1).sum(1), [1, 17, 0])
    np.testing.assert_array_equal(found[2], points[4])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"points3d": person(5) * 1000}, "expected a person in metres, found one .* across: millimetres, it seems"),
        ({"points3d": person(5)[..., [0, 2, 1]] + 40}, "expected points in the world of the calibration, which two"),
        ({"points3d": person(5)[0]}, "expected numbers \\[frames, points, 3\\]"),
        ({"points3d": person(5) * np.nan}, "found only NaN"),
        ({"points3d": person(5), "landmarks": "mediapipe33"}, "expected 33 points"),
        ({"points3d": person(4)}, "expected 5 frames, as the footage has, found 4"),
        ({"joints": person(5)}, "key 'points3d' is missing"),
    ],
)
def test_wrong_points_in_space_are_refused_in_a_line(tmp_path: Path, content: dict[str, Any], line: str) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **({"landmarks": "coco17"} | content))
    with pytest.raises(UserError, match=line) as error:
        read_points3d(path, CALIBRATION, SIZES, 5)
    assert "\n" not in str(error.value)


def masks(folder: Path, values: int, size: tuple[int, int] = (20, 24)) -> Path:
    for view, camera in enumerate(CAMERAS):
        (folder / camera).mkdir(parents=True)
        for frame in range(3):
            pixels = np.zeros(size[::-1], np.uint8)
            pixels[4 + view : 10 + frame] = values
            Image.fromarray(pixels).save(folder / camera / f"mask_{frame:04d}.png")
    return folder


@pytest.mark.parametrize("values", [255, 1])
def test_masks_by_the_number_of_their_frame(tmp_path: Path, values: int) -> None:
    given = read_masks(masks(tmp_path, values), CAMERAS, [(20, 24)] * 3)
    mask = given.read(2, 1)
    assert mask is not None
    assert mask.dtype == np.uint8
    assert np.flatnonzero(mask[:, 3]).tolist() == list(range(5, 12))
    assert mask.max() == 255
    assert given.read(7, 1) is None
    assert given.missing(np.array([[0, 1, 7]])).tolist() == [[False, False, True]]


def test_wrong_masks_are_refused_in_a_line(tmp_path: Path) -> None:
    folder = masks(tmp_path / "masks", 255)
    for path, cameras, size, line in (
        (folder, CAMERAS, (40, 48), "expected 40x48 pixels, as the footage has, found 20x24"),
        (
            folder,
            ("cam00", "cam01", "front"),
            (20, 24),
            "expected masks of camera 'front' .* found cam00, cam01, cam02",
        ),
        (tmp_path / "none", CAMERAS, (20, 24), "expected a folder of masks, found nothing"),
    ):
        with pytest.raises(UserError, match=line):
            read_masks(path, cameras, [size] * 3)
    Image.fromarray(np.zeros((24, 20), np.uint8)).save(folder / "cam02" / "mask_2.png")
    with pytest.raises(UserError, match="expected one file for each frame"):
        read_masks(folder, CAMERAS, [(20, 24)] * 3)
