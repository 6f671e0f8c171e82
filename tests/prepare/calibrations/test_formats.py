"""Every format says where known points are seen: files as its documentation has them, against OpenCV's projection."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.lens import Lens
from hgg_pyg.prepare.calibrations import read_calibrations
from hgg_pyg.prepare.calibrations.registry import calibration_formats
from hgg_pyg.types import UserError

cv2 = pytest.importorskip("cv2")
SIZE = (1088, 1920)


@dataclass(frozen=True)
class Camera:
    """A camera in OpenCV's conventions: the middle of the first pixel is 0, metres."""

    name: str
    K: np.ndarray
    R: np.ndarray
    T: np.ndarray
    bends: tuple[float, ...]  # k1 k2 p1 p2 k3


def rig(bends: int = 5) -> list[Camera]:
    """Three cameras around the origin, with lenses of so many coefficients."""
    rng = np.random.default_rng(3)
    cameras = []
    for number, angle in enumerate((0.3, 2.2, 4.4), 1):
        R = Rotation.from_euler("yxz", [angle, 0.2 * number, 0.1]).as_matrix()
        K = np.array([[1681.2 + number, 0, 532.9], [0, 1680.7 - number, 948.1 + number], [0, 0, 1]])
        coefficients = np.array([-0.046, 0.139, 0.0006, -0.0007, -0.02]) * rng.uniform(0.5, 1.5, 5)
        coefficients[bends:] = 0
        cameras.append(Camera(f"cam0{number}", K, R, np.array([0.1, -0.2, 4.0 + number]), tuple(coefficients.tolist())))
    return cameras


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


def digits(values: object) -> str:
    return ", ".join(repr(float(value)) for value in np.asarray(values).reshape(-1))


def matrix(key: str, values: np.ndarray, indent: str = "") -> str:
    rows, cols = np.atleast_2d(values).shape
    head = f"{indent}{key}: !!opencv-matrix\n{indent}   rows: {rows}\n{indent}   cols: {cols}\n{indent}   dt: d\n"
    return f"{head}{indent}   data: [ {digits(values)} ]\n"


def write_opencv(folder: Path, cameras: list[Camera]) -> list[Path]:
    """By OpenCV itself, one file a camera, with the names of its calibration sample."""
    paths = []
    for camera in cameras:
        path = folder / f"{camera.name}.yml"
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        storage.write("image_width", SIZE[0])
        storage.write("image_height", SIZE[1])
        storage.write("camera_matrix", camera.K)
        storage.write("distortion_coefficients", np.array(camera.bends)[:, None])
        storage.write("rvec", cv2.Rodrigues(camera.R)[0])
        storage.write("tvec", camera.T[:, None])
        storage.release()
        paths.append(path)
    return paths


def write_opencv_in_one(folder: Path, cameras: list[Camera]) -> list[Path]:
    text = "%YAML:1.0\n---\n"
    for camera in cameras:
        parts = {"K": camera.K, "D": np.array(camera.bends), "RT": np.c_[camera.R, camera.T]}
        text += f"{camera.name}:\n" + "".join(matrix(key, value, "   ") for key, value in parts.items())
        text += f"   imgSize: [ {SIZE[0]}, {SIZE[1]} ]\n"
    (folder / "cameras.yml").write_text(text)
    return [folder / "cameras.yml"]


def write_opencv_json(folder: Path, cameras: list[Camera]) -> list[Path]:
    """By OpenCV itself, cameras as a list."""
    path = folder / "rig.json"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.startWriteStruct("cameras", cv2.FileNode_SEQ)
    for camera in cameras:
        storage.startWriteStruct("", cv2.FileNode_MAP)
        storage.write("name", camera.name)
        storage.write("width", SIZE[0])
        storage.write("height", SIZE[1])
        for key, value in (("K", camera.K), ("R", camera.R), ("T", camera.T), ("dist", np.array(camera.bends))):
            storage.write(key, value)
        storage.endWriteStruct()
    storage.endWriteStruct()
    storage.release()
    return [path]


def write_qualisys(folder: Path, cameras: list[Camera]) -> list[Path]:
    """The sensor is wider than what was filmed of it."""
    left, top = 16, 8
    text = "<?xml version='1.0' encoding='ASCII'?>\n<calibration><cameras>"
    for camera in cameras:
        lies = camera.R.T @ np.diag([1, -1, -1])  # camera's axes in the world, y up and z backwards
        place = -camera.R.T @ camera.T * 1000
        k1, k2, p1, p2, k3 = camera.bends
        turned = " ".join(f'r{j + 1}{i + 1}="{lies[i, j]!r}"' for i in range(3) for j in range(3))  # by columns
        at = " ".join(f'{axis}="{value!r}"' for axis, value in zip("xyz", place, strict=True))
        K = {
            "focalLengthU": camera.K[0, 0] * 64,
            "focalLengthV": camera.K[1, 1] * 64,
            "centerPointU": (camera.K[0, 2] + left) * 64,
            "centerPointV": (camera.K[1, 2] + top) * 64,
            "skew": 0.0,
        }
        K |= {"radialDistortion1": k1, "radialDistortion2": k2, "radialDistortion3": k3}
        K |= {"tangentalDistortion1": p1, "tangentalDistortion2": p2}
        inner = " ".join(f'{key}="{float(value)!r}"' for key, value in K.items())
        text += f'<camera active="1" serial="{camera.name}"><fov_video left="{left}" top="{top}" '
        text += f'right="{left + SIZE[0] - 1}" bottom="{top + SIZE[1] - 1}"/><transform {turned} {at}/>'
        text += f"<intrinsic {inner}/></camera>"
    text = text.replace("np.float64(", "").replace(')"', '"')
    path = folder / "Calib.qca.txt"
    path.write_text(text + '<camera active="0" serial="cam99"/></cameras></calibration>')
    return [path]


def toml_table(camera: Camera) -> str:
    rows = ", ".join(f"[ {digits(row)}]" for row in camera.K)
    vector = Rotation.from_matrix(camera.R).as_rotvec()
    return (
        f"size = [ {SIZE[0]}.0, {SIZE[1]}.0]\nmatrix = [ {rows}]\ndistortions = [ {digits(camera.bends)}]\n"
        f"rotation = [ {digits(vector)}]\ntranslation = [ {digits(camera.T)}]\nfisheye = false\n\n"
    )


def write_pose2sim(folder: Path, cameras: list[Camera]) -> list[Path]:
    """With Pose2Sim's own settings beside it."""
    (folder / "Config.toml").write_text("[calibration]\ncalibration_type = 'convert'\n")
    text = "".join(f'[{camera.name}]\nname = "{camera.name}"\n{toml_table(camera)}' for camera in cameras)
    (folder / "Calib_scene.toml").write_text(text + "[metadata]\nadjusted = false\nerror = 0.0\n")
    return [folder]


def write_caliscope(folder: Path, cameras: list[Camera]) -> list[Path]:
    """Of one more camera Caliscope knows only the lens."""
    text = "".join(f"[cameras.{number}]\ncam_id = {number}\n{toml_table(c)}" for number, c in enumerate(cameras))
    lens = "[cameras.7]\ncam_id = 7\nsize = [640, 480]\nmatrix = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]\n"
    (folder / "camera_array.toml").write_text(text + lens)
    return [folder / "camera_array.toml"]


def write_easymocap(folder: Path, cameras: list[Camera]) -> list[Path]:
    """Line ends as EasyMocap writes them."""
    names = "names:\n" + "".join(f'  - "{camera.name}"\n' for camera in cameras)
    inner = outer = "%YAML:1.0\n---\n" + names
    for camera in cameras:
        inner += matrix(f"K_{camera.name}", camera.K) + matrix(f"dist_{camera.name}", np.array(camera.bends))
        inner += f"H_{camera.name}: {SIZE[1]}\nW_{camera.name}: {SIZE[0]}\n"
        outer += matrix(f"R_{camera.name}", cv2.Rodrigues(camera.R)[0]) + matrix(f"Rot_{camera.name}", camera.R)
        outer += matrix(f"T_{camera.name}", camera.T[:, None])
    for name, text in (("intri", inner), ("extri", outer)):
        (folder / f"{name}.yml").write_bytes(text.replace("\n", "\r\n").encode())
    return [folder]


def colmap_writer(model: str) -> Callable[[Path, list[Camera]], list[Path]]:
    def write(folder: Path, cameras: list[Camera]) -> list[Path]:
        """Pixels from the corner of the first; lengths in halves of a metre; the points of an image may be none."""
        lenses, images = "# Camera list\n", "# Image list\n"
        for number, camera in enumerate(cameras, 1):
            x, y, z, w = Rotation.from_matrix(camera.R).as_quat()
            f, centre = [camera.K[0, 0], camera.K[1, 1]], camera.K[:2, 2] + 0.5
            k1, k2, p1, p2, k3 = camera.bends
            parameters = {
                "SIMPLE_PINHOLE": [f[0], *centre],
                "PINHOLE": [*f, *centre],
                "SIMPLE_RADIAL": [f[0], *centre, k1],
                "RADIAL": [f[0], *centre, k1, k2],
                "OPENCV": [*f, *centre, k1, k2, p1, p2],
                "FULL_OPENCV": [*f, *centre, k1, k2, p1, p2, k3, 0, 0, 0],
            }[model]
            lenses += f"{number} {model} {SIZE[0]} {SIZE[1]} {digits(parameters).replace(',', '')}\n"
            pose = digits([w, x, y, z, *(camera.T * 2)]).replace(",", "")
            images += f"{number} {pose} {number} images/{camera.name}.jpg\n{'10 20 -1' if number == 2 else ''}\n"
        (folder / "cameras.txt").write_text(lenses)
        (folder / "images.txt").write_text(images)
        (folder / "points3D.txt").write_text("# 3D points\n")
        return [folder]

    return write


def write_json(folder: Path, cameras: list[Camera]) -> list[Path]:
    content = {}
    for camera in cameras:
        K = camera.K.copy()
        K[:2, 2] += 0.5
        values = {"K": K, "R": camera.R, "T": camera.T, "distCoeff": np.array(camera.bends), "imgSize": np.array(SIZE)}
        content[camera.name] = {key: value.tolist() for key, value in values.items()}
    (folder / "calibration.json").write_text(json.dumps(content))
    return [folder]


def square(cameras: list[Camera]) -> list[Camera]:
    """With one focal length."""
    return [Camera(c.name, c.K * [1, c.K[0, 0] / c.K[1, 1], 1], c.R, c.T, c.bends) for c in cameras]


def radial(cameras: list[Camera], count: int) -> list[Camera]:
    """With one focal length, and so many coefficients of radial distortion."""
    bends = [(*np.where(np.arange(2) < count, c.bends[:2], 0).tolist(), 0.0, 0.0, 0.0) for c in cameras]
    return [Camera(c.name, c.K, c.R, c.T, b) for c, b in zip(square(cameras), bends, strict=True)]


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
    write: Callable[[Path, list[Camera]], list[Path]], cameras: list[Camera], unit: str | float | None, tmp_path: Path
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
    write: Callable[[Path, list[Camera]], list[Path]], name: str, old: str, new: str, message: str, tmp_path: Path
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
