"""Cameras that no one has, and names that lead elsewhere, are refused on reading, by camera and key."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hgg_pyg.check import CheckConfig
from hgg_pyg.check import main as check
from hgg_pyg.data import open_captures
from hgg_pyg.data.calibration import Entry, check_camera_name, make_calibration, read_calibration
from hgg_pyg.types import UserError
from tests.silhouettes import in_cameras, silhouette_overlaps

GOOD: dict[str, Any] = {
    "K": [[60.0, 0, 24], [0, 61.0, 32], [0, 0, 1]],
    "R": [[1.0, 0, 0], [0, -1, 0], [0, 0, -1]],
    "T": [0.0, 0.1, 2.5],
    "imgSize": [48, 64],
    "distCoeff": [0.1, -0.02, 0, 0, 0],
}


def write(folder: Path, name: str = "cam00", **changes: Any) -> Path:
    path = folder / "calibration.json"
    path.write_text(json.dumps({name: {**GOOD, **changes}}))
    return path


def pinhole(focal: float = 60.0, centre: float = 24.0, skew: float = 0.0) -> list[list[float]]:
    return [[focal, skew, centre], [0, 61.0, 32], [0, 0, 1]]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("K", pinhole(1e300), r"expected pixels, focal lengths from 0.1 to 1e\+07 .* found \[\[1e\+300"),
        ("K", pinhole(1e-9), "expected pixels, focal lengths from 0.1"),
        ("K", pinhole(centre=-1e300), r".* a centre within 1e\+07, found"),
        ("K", pinhole(float("nan")), "expected finite numbers, found NaN or Inf"),
        ("K", pinhole(float("inf")), "expected finite numbers, found NaN or Inf"),
        ("K", pinhole(skew=1e300), r"expected \[\[fx,0,cx\]"),
        ("K", [1e400] * 9, "expected finite numbers"),
        ("R", (np.eye(3) * 1e300).tolist(), "expected a rotation, numbers from -1 to 1, found"),
        ("R", (np.eye(3) * 1.5).tolist(), "expected a rotation .* found R R.T off by 1.2"),
        ("R", [float("inf")] * 9, "expected finite numbers"),
        ("T", [1e300, 0, 0], r"expected metres, found \[1e\+300"),
        ("T", [float("nan"), 0, 0], "expected finite numbers"),
        ("T", [True, False, True], r"expected numbers, found \[True, False, True\]"),
        ("T", [None, 0, 1], r"expected numbers, found \[None, 0, 1\]"),
        ("distCoeff", None, "expected numbers, found None"),
        ("distCoeff", [0.1], r"expected 0, 4 or 5 numbers, k1 k2 p1 p2 k3, found \[0.1\]"),
        ("distCoeff", [0.1, 0.2, 0.3], "expected 0, 4 or 5 numbers, k1 k2 p1 p2 k3"),
        ("distCoeff", [1e300, 0, 0, 0, 0], "expected numbers of a lens"),
        ("imgSize", [0, 0], "expected width and height of the images in whole pixels, found 0, 0"),
        ("imgSize", [48, -64], ".* in whole pixels, found 48, -64"),
        ("imgSize", [48.5, 64], ".* in whole pixels, found 48.5, 64"),
        ("imgSize", [float("inf"), 64], "expected finite numbers"),
        ("imgSize", [1e300, 64], r".* in whole pixels, found 1e\+300, 64"),
        ("imgSize", "large", "expected numbers, found large"),
    ],
)
def test_a_camera_that_no_one_has_is_refused(tmp_path, key, value, message):
    path = write(tmp_path, **{key: value})
    with pytest.raises(UserError, match=f"^{path}: camera 'cam00': key '{key}': {message}") as caught:
        read_calibration(path)
    assert "\n" not in str(caught.value)


def test_unusual_cameras_are_read(tmp_path):
    """A telescope, K for images of one pixel, millimetres, a size as floats."""
    for changes in (
        {"K": pinhole(900_000.0)},
        {"K": [[1.4, 0, 0.5], [0, 1.3, 0.5], [0, 0, 1]]},
        {"T": [0.0, 100.0, 9_000.0]},
        {"imgSize": [48.0, 64.0]},
    ):
        found = read_calibration(write(tmp_path, **changes))
        assert (found.sizes, found.origin) == (((48, 64),), (0, 0, 0))
        np.testing.assert_array_equal(found.T[0], changes.get("T", GOOD["T"]))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../anna", "a/../../b", "/etc", "a//b", "a/", "..\\anna", "cam\0", "cam\ud800"]
)
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(UserError, match="expected a camera's name that can be a folder within the subject's, found "):
        check_camera_name("here", name)


@pytest.mark.parametrize("name", ["..", "cam\0", "cam\ud800"])
def test_no_calibration_leads_elsewhere(tmp_path, name):
    with pytest.raises(UserError, match="found "):
        read_calibration(write(tmp_path, name))


@pytest.mark.parametrize("name", ["cam00", "Camera (1)", "22327091", "カメラ", "rig/cam 1", "...", "cam\udc80"])
def test_names_of_folders_are_read(tmp_path, name):
    assert read_calibration(write(tmp_path, name)).names == (name,)


def test_cameras_on_a_map_are_brought_near_the_origin():
    """By whole metres, all by the same; what they see is the same. Cameras in millimetres stay where they are."""
    rng = np.random.default_rng(0)
    middle = np.array([4_210_034.5, 172_000.0, -4_780_000.25])
    rotations = np.linalg.qr(rng.normal(size=(6, 3, 3)))[0]
    rotations[np.linalg.det(rotations) < 0] *= -1
    centers = middle + rng.uniform(-5, 5, (6, 3))
    entries = [
        Entry(f"c{i}", "here", GOOD["K"], R, -R @ center)
        for i, (R, center) in enumerate(zip(rotations, centers, strict=True))
    ]
    found = make_calibration(entries)
    origin = np.array(found.origin)
    np.testing.assert_array_equal(origin, origin.round())
    assert abs(origin - middle).max() < 5
    np.testing.assert_allclose(found.cameras((48, 64)).centers, centers - origin, atol=1e-5)
    assert found.select([2, 4]).origin == found.origin
    millimetres = [Entry(e.name, e.where, e.K, e.R, 1000 * (e.T + e.R @ (middle - [0, 0, 12]))) for e in entries]
    assert make_calibration(millimetres).origin == (0, 0, 0)
    np.testing.assert_array_equal(make_calibration(millimetres).T, [entry.T for entry in millimetres])


def test_a_capture_on_a_map_is_the_one_at_the_origin(tmp_path, tiny_captures, body, caplog):
    """The same images, squares around the person and overlaps, at 4000 km; that it was moved is said once."""
    subject = shutil.copytree(next(path for path in sorted(tiny_captures.iterdir()) if path.is_dir()), tmp_path / "a")
    before = open_captures(subject, 24, body, crop=True).train[0]
    overlaps = silhouette_overlaps(open_captures(subject).train[0], body)
    middle = np.array([4_210_034.0, 172_000.5, 4_780_000.25])
    path = next(subject.glob("calibration*.json"))
    content = json.loads(path.read_text())
    for camera in content.values():
        camera["T"] = (np.ravel(camera["T"]) - np.reshape(camera["R"], (3, 3)) @ middle).tolist()
    path.write_text(json.dumps(content))
    params = dict(np.load(subject / "smpl_params.npz"))
    np.savez(subject / "smpl_params.npz", **{**params, "transl": params["transl"].astype(np.float64) + middle})
    with caplog.at_level(logging.INFO, "hgg_pyg"):
        after = open_captures(subject, 24, body, crop=True).train[0]
    (said,) = (text for text in caplog.messages if "coordinates of a map" in text)
    assert said.startswith(f"{subject}: coordinates of a map: cameras and poses are read about 4,210,0")
    np.testing.assert_allclose(after.windows, before.windows, atol=0.01)
    np.testing.assert_allclose(after.image(1, 2), before.image(1, 2), atol=0.01)
    np.testing.assert_allclose(in_cameras(after, body), in_cameras(before, body), atol=1e-4)
    np.testing.assert_allclose(silhouette_overlaps(open_captures(subject).train[0], body), overlaps, atol=0.02)


def test_check_says_in_a_line_what_is_wrong_with_a_camera(tmp_path, tiny_captures, capsys):
    subject = shutil.copytree(next(path for path in sorted(tiny_captures.iterdir()) if path.is_dir()), tmp_path / "a")
    path = next(subject.glob("calibration*.json"))
    content = json.loads(path.read_text())
    content[sorted(content)[1]]["K"] = pinhole(1e300)
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit) as caught:
        check(CheckConfig(subject, out=tmp_path / "check"))
    assert caught.value.code == 1
    assert f"{path}: camera '{sorted(content)[1]}': key 'K': expected pixels" in capsys.readouterr().out
