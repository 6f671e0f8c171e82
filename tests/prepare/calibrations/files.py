"""Calibrations of known cameras in each format, written as its documentation says: independent of what reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

SIZE = (1088, 1920)
Write = Callable[[Path, list["Camera"]], list[Path]]
"""Writes cameras into a folder and says what is to be read"""


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


def digits(values: object) -> str:
    return ", ".join(repr(float(value)) for value in np.asarray(values).reshape(-1))


def matrix(key: str, values: np.ndarray, indent: str = "") -> str:
    rows, cols = np.atleast_2d(values).shape
    head = f"{indent}{key}: !!opencv-matrix\n{indent}   rows: {rows}\n{indent}   cols: {cols}\n{indent}   dt: d\n"
    return f"{head}{indent}   data: [ {digits(values)} ]\n"


def write_opencv(folder: Path, cameras: list[Camera]) -> list[Path]:
    """By OpenCV itself, one file a camera, with the names of its calibration sample."""
    import cv2

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
    import cv2

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
        outer += matrix(f"R_{camera.name}", Rotation.from_matrix(camera.R).as_rotvec()[:, None]) + matrix(
            f"Rot_{camera.name}", camera.R
        )
        outer += matrix(f"T_{camera.name}", camera.T[:, None])
    for name, text in (("intri", inner), ("extri", outer)):
        (folder / f"{name}.yml").write_bytes(text.replace("\n", "\r\n").encode())
    return [folder]


def colmap_writer(model: str) -> Write:
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
