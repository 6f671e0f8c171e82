"""Every format says where known points are seen: files as its documentation has them, against OpenCV's projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.lens import Lens
from hgg_pyg.prepare.calibrations import read_calibrations
from hgg_pyg.prepare.calibrations.registry import calibration_formats
from hgg_pyg.types import UserError
from tests.prepare.calibrations.files import (
    SIZE,
    Camera,
    Write,
    colmap_writer,
    radial,
    rig,
    write_caliscope,
    write_easymocap,
    write_json,
    write_opencv,
    write_opencv_in_one,
    write_opencv_json,
    write_pose2sim,
    write_qualisys,
)

cv2 = pytest.importorskip("cv2")
POINTS = np.random.default_rng(5).uniform(-0.9, 0.9, (40, 3))


def seen(camera: Camera) -> np.ndarray:
    """Pixels of the points, centres at +0.5, by OpenCV. [N, 2]"""
    vector = cv2.Rodrigues(camera.R)[0]
    return cv2.projectPoints(POINTS, vector, camera.T, camera.K, np.array(camera.bends))[0][:, 0] + 0.5


def pixels(calibration: Calibration, number: int) -> np.ndarray:
    """Pixels of the points, by a calibration that was read. [N, 2]"""
    inside = POINTS @ calibration.R[number].T + calibration.T[number]
    K = calibration.K[number]
    return Lens(K, calibration.distortion[number]).distort(inside[:, :2] / inside[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2])


@pytest.mark.parametrize(
    ("write", "cameras", "unit"),
    [
        pytest.param(write_opencv, rig(), None, id="opencv"),
        pytest.param(write_opencv_in_one, rig(), None, id="opencv in one"),
        pytest.param(write_opencv_json, rig(), None, id="opencv json"),
        pytest.param(write_qualisys, rig(), None, id="qualisys"),
        pytest.param(write_pose2sim, rig(), None, id="pose2sim"),
        pytest.param(write_caliscope, rig(), None, id="caliscope"),
        pytest.param(write_easymocap, rig(), None, id="easymocap"),
        pytest.param(colmap_writer("SIMPLE_PINHOLE"), radial(rig(), 0), 0.5, id="colmap simple pinhole"),
        pytest.param(colmap_writer("PINHOLE"), rig(0), 0.5, id="colmap pinhole"),
        pytest.param(colmap_writer("SIMPLE_RADIAL"), radial(rig(), 1), 0.5, id="colmap simple radial"),
        pytest.param(colmap_writer("RADIAL"), radial(rig(), 2), "0.5", id="colmap radial"),
        pytest.param(colmap_writer("OPENCV"), rig(4), 0.5, id="colmap opencv"),
        pytest.param(colmap_writer("FULL_OPENCV"), rig(), 0.5, id="colmap full opencv"),
        pytest.param(write_json, rig(), None, id="json"),
    ],
)
def test_known_points_are_seen_where_opencv_sees_them(
    write: Write, cameras: list[Camera], unit: str | float | None, tmp_path: Path
) -> None:
    paths = write(tmp_path, cameras)
    calibration = read_calibrations(paths if len(paths) > 1 else paths[0], unit=unit)
    names = [f"cam_{i}" for i in range(3)] if write is write_caliscope else [camera.name for camera in cameras]
    assert list(calibration.names) == names
    assert calibration.sizes == (SIZE,) * 3
    for number, camera in enumerate(cameras):
        assert np.abs(pixels(calibration, number) - seen(camera)).max() < 1e-6
        # In metres, not only up to a scale
        assert np.abs(calibration.T[number] - camera.T).max() < 1e-9


def test_every_format_is_tested() -> None:
    assert set(calibration_formats()) == {"opencv", "qualisys", "toml", "easymocap", "colmap", "json"}


def test_one_half_of_easymocap_finds_the_other(tmp_path: Path) -> None:
    write_easymocap(tmp_path, rig())
    assert len(read_calibrations(tmp_path / "intri.yml").names) == 3
    assert len(read_calibrations(tmp_path / "extri.yml").names) == 3
    (tmp_path / "extri.yml").unlink()
    with pytest.raises(UserError, match=r"intri.yml: expected one extri.yml, found none"):
        read_calibrations(tmp_path)


def test_a_unit_that_is_given_replaces_the_formats(tmp_path: Path) -> None:
    (path,) = write_caliscope(tmp_path, rig())
    assert np.allclose(read_calibrations(path, unit="mm").T * 1000, read_calibrations(path).T)
    with pytest.raises(UserError, match="--unit: expected one of m, dm, cm, mm, in, ft, or how many metres"):
        read_calibrations(path, unit="furlong")


def test_colmap_wants_a_unit_and_one_image_a_camera(tmp_path: Path) -> None:
    colmap_writer("PINHOLE")(tmp_path, rig(0))
    with pytest.raises(UserError, match="format 'colmap' has no unit: say by --unit"):
        read_calibrations(tmp_path)
    images = tmp_path / "images.txt"
    images.write_text(images.read_text().replace("images/cam02.jpg", "others/cam01.jpg"))
    with pytest.raises(UserError, match="camera 'cam01': expected one calibration, found two"):
        read_calibrations(tmp_path, unit=1.0)
    # Each image in a folder of its own: the folders are the cameras
    images.write_text(images.read_text().replace("images/cam01.jpg", "left/0001.jpg").replace("images/cam03", "mid/1"))
    assert read_calibrations(tmp_path, unit=1.0).names == ("left", "mid", "others")


def test_two_calibrations_for_one_camera(tmp_path: Path) -> None:
    first = write_opencv(tmp_path, rig())[0]
    (tmp_path / "more").mkdir()
    second = write_opencv(tmp_path / "more", rig())[0]
    with pytest.raises(UserError, match=rf"camera 'cam01': expected one calibration, found two: {first}; and {second}"):
        read_calibrations([first, second])


def test_a_format_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours.py").write_text(
        "from hgg_pyg.data.calibration import Entry\n"
        "from hgg_pyg.prepare.calibrations.registry import CalibrationFormat\n"
        "K = [[9.0, 0, 4], [0, 9.0, 4], [0, 0, 1]]\n"
        "def read(files):\n"
        "    R = [1, 0, 0, 0, 1, 0, 0, 0, 1]\n"
        "    return [Entry(p.stem, str(p), K, R, [0, 0, float(p.read_text())]) for p in files]\n"
        "OURS = CalibrationFormat(name='ours', summary='', unit='cm', claims=lambda files: files, read=read)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a.mine").write_text("250")
    found = read_calibrations(tmp_path / "a.mine", "ours:OURS")
    assert found.names == ("a",)
    assert found.T[0, 2] == pytest.approx(2.5)
    with pytest.raises(UserError, match=r"--calibration-format: expected one of colmap, .* found 'theirs'"):
        read_calibrations(tmp_path / "a.mine", "theirs")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("write", "name", "old", "new", "message"),
    [
        (
            write_opencv,
            "cam02.yml",
            "camera_matrix",
            "camera_matrox",
            "cam02.yml: expected a camera's K .* found image",
        ),
        (write_opencv, "cam02.yml", "tvec", "tvac", "cam02.yml: expected R and T .*intrinsics alone do not say"),
        (write_opencv, "cam02.yml", "rows: 3", "rows: 4", "cam02.yml: expected a matrix of 4 x 3 numbers, found 9"),
        (
            write_opencv,
            "cam02.yml",
            "image_width: 1088",
            "[",
            "cam02.yml: expected a file of OpenCV's FileStorage, found",
        ),
        (
            write_opencv_in_one,
            "cameras.yml",
            "[ 1088",
            "[ 0",
            "camera 'cam01': key 'imgSize': expected width and height",
        ),
        (write_qualisys, "Calib.qca.txt", "focalLengthV", "focal", "<intrinsic>: attribute 'focalLengthV' is missing"),
        (
            write_qualisys,
            "Calib.qca.txt",
            'skew="0.0"',
            'skew="64"',
            "camera 'cam01': key 'intrinsic': expected .*0,fy",
        ),
        (write_qualisys, "Calib.qca.txt", "</cameras>", "", "expected a calibration of Qualisys .* what is not XML"),
        (write_qualisys, "Calib.qca.txt", 'x="', 'x="m', "camera 'cam01': key 'transform': expected numbers"),
        (write_caliscope, "camera_array.toml", "matrix = [", "matrix = [[", "camera_array.toml: .* what is not TOML"),
        (write_caliscope, "camera_array.toml", "translation", "trans", r"\[cameras.0\]: key 'translation' is missing"),
        (
            write_caliscope,
            "camera_array.toml",
            "fisheye = false",
            "fisheye = true",
            r"\[cameras.0\]: .* undistort first",
        ),
        (write_easymocap, "extri.yml", "T_cam02", "T_cam2", "extri.yml: camera 'cam02': key 'T_cam02' is missing"),
        (colmap_writer("PINHOLE"), "cameras.txt", "PINHOLE", "FOV", "cameras.txt: line 2: expected a lens of .* FOV"),
        (
            colmap_writer("PINHOLE"),
            "cameras.txt",
            "1 PINHOLE",
            "9 PINHOLE",
            r"images.txt: line 2: expected a camera .*1",
        ),
        (colmap_writer("PINHOLE"), "images.txt", " 1 images/cam01.jpg", "", "images.txt: line 2: expected IMAGE_ID"),
        (
            colmap_writer("PINHOLE"),
            "cameras.txt",
            " 1088",
            "",
            "cameras.txt: line 2: key 'PINHOLE': expected 6 numbers",
        ),
        (write_json, "calibration.json", '"K"', '"k"', "camera 'cam01': key 'K' is missing"),
    ],
)
def test_a_wrong_file_ends_in_one_line(
    write: Write, name: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    write(tmp_path, rig(0 if name in ("cameras.txt", "images.txt") else 5))
    change(tmp_path / name, old, new)
    with pytest.raises(UserError, match=message) as refused:
        read_calibrations(tmp_path, unit=1.0)
    assert "\n" not in str(refused.value)


def test_what_is_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a calibration, found no such file or folder"):
        read_calibrations(tmp_path / "missing")
    (tmp_path / "readme.md").write_text("none")
    with pytest.raises(UserError, match=r"expected a calibration \(colmap, .*found none in 1 file;"):
        read_calibrations(tmp_path)
    write_json(tmp_path, rig())
    write_caliscope(tmp_path, rig())
    with pytest.raises(
        UserError, match=r"expected one calibration, found several \(json: .*; toml: camera_array.toml\)"
    ):
        read_calibrations(tmp_path)
    assert read_calibrations(tmp_path, "toml").names == ("cam_0", "cam_1", "cam_2")
