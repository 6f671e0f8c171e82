"""MVHumanNet++: SMPL-X poses and square images in the folders of the data set; what is wrong is said in one line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import find_subjects, load_body_for, open_captures
from hgg_pyg.synthetic.capture_writer import write_subject
from hgg_pyg.synthetic.config import SynthesizeConfig
from hgg_pyg.types import UserError
from tests.silhouettes import in_cameras, silhouette_overlaps

FRAMES, VIEWS = 4, 6


@pytest.fixture(scope="module")
def data(tmp_path_factory, body) -> Path:
    """Three outfits in bodysuits, the last one for testing."""
    out = tmp_path_factory.mktemp("pp") / "data"
    config = SynthesizeConfig(
        out=out, subjects=3, frames=FRAMES, views=VIEWS, size=96, layout="mvhumannet_pp", clothes="bodysuit"
    )
    for index in range(3):
        write_subject(config, index, body, lambda count: None)
    return out


@pytest.fixture(scope="module")
def smplx_body() -> BodyModel:
    return load_body(None, ("open-smplx",))


@pytest.fixture
def outfit(data, tmp_path) -> Path:
    """One outfit, to be spoilt."""
    return shutil.copytree(data / "main_data/train/200102", tmp_path / "200102")


def only(folder: Path, body: BodyModel) -> Capture:
    (capture,) = open_captures(folder, body=body).test
    return capture


def change_npz(path: Path, **changes: Any) -> None:
    """Replace keys by a value or a function of the present one; None takes a key away."""
    with np.load(path) as loaded:
        arrays: dict[str, Any] = {key: loaded[key] for key in loaded.files}
    for key, value in changes.items():
        arrays[key] = value(arrays[key]) if callable(value) else value
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def change_params(outfit: Path, **changes: Any) -> None:
    change_npz(outfit / "smplx_params.npz", **changes)


def change_camera(outfit: Path, **changes: Any) -> None:
    change_npz(outfit / "cameras/cam_01/camera.npz", **changes)


def test_the_posed_body_covers_the_masks(data, smplx_body) -> None:
    captures = open_captures(data, body=smplx_body)
    for capture in (*captures.train, *captures.test):
        assert capture.frames == (25, 50, 75, 100)
        assert capture.left_out == ()
        assert silhouette_overlaps(capture, smplx_body).min() > 0.9


def test_splits_are_the_folders(data, smplx_body) -> None:
    captures = open_captures(data, body=smplx_body)
    names = [[capture.name for capture in split] for split in (captures.train, captures.val, captures.test)]
    assert names == [["200102", "200103"], [], ["200104"]]
    assert not captures.shared_subjects
    assert load_body_for(data).num_joints == 55


def test_poses_are_for_smplx(outfit, body) -> None:
    assert find_subjects(outfit)["200102"].kinds == ("open-smplx",)
    with pytest.raises(UserError, match=r"200102: these poses are .*\(55 joints\), the body .* has 24"):
        only(outfit, body)
    (outfit / "body.txt").unlink()
    assert find_subjects(outfit)["200102"].kinds == ("smplx",)


def test_parameters_come_in_the_order_of_smplx(outfit, smplx_body) -> None:
    poses = only(outfit, smplx_body).poses
    hands = smplx_body.hands
    assert hands is not None
    with np.load(outfit / "smplx_params.npz") as file:
        expected = [file["body_pose"], file["jaw_pose"], np.zeros((FRAMES, 6))]  # there are no poses of eyes
        expected.append(file["left_hand_pose"] @ hands.left_components[:6].numpy())
        expected.append(file["right_hand_pose"] @ hands.right_components[:6].numpy())
        np.testing.assert_allclose(poses.body_pose, np.concatenate(expected, 1), atol=1e-6)
        for key in ("global_orient", "transl", "expression"):
            np.testing.assert_array_equal(getattr(poses, key), file[key])
        np.testing.assert_array_equal(poses.betas, file["betas"][0])


def test_eyes_are_read_if_they_are_there(outfit, smplx_body) -> None:
    eyes = np.linspace(-0.1, 0.1, FRAMES * 6, dtype=np.float32).reshape(FRAMES, 6)
    change_params(outfit, leye_pose=eyes[:, :3], reye_pose=eyes[:, 3:])
    poses = only(outfit, smplx_body).poses.body_pose.view(FRAMES, 54, 3)
    np.testing.assert_array_equal(poses[:, 22:24].flatten(1), eyes)


def test_extrinsics_of_four_rows_are_the_same(outfit, smplx_body) -> None:
    before = only(outfit, smplx_body)
    change_camera(outfit, extrinsic=lambda value: np.concatenate([value, [[0, 0, 0, 1.0]]]))
    assert only(outfit, smplx_body).digest == before.digest


def test_other_images_of_a_camera_are_no_frames(outfit, smplx_body) -> None:
    for place in ("images", "masks"):
        shutil.copy(outfit / place / "cam_00/0025.jpg", outfit / place / "cam_00/A-2045.jpg")
    capture = only(outfit, smplx_body)
    assert (capture.frames, capture.left_out) == ((25, 50, 75, 100), ())


def test_frames_take_the_row_of_their_tick_or_none(outfit, smplx_body) -> None:
    for place in ("images", "masks"):
        for camera in (outfit / place).iterdir():
            (camera / "0025.jpg").rename(camera / "0030.jpg")
            (camera / "0100.jpg").rename(camera / "0125.jpg")
            (camera / "0050.jpg").rename(camera / "0000.jpg")
    capture = only(outfit, smplx_body)
    assert capture.frames == (75,)
    with np.load(outfit / "smplx_params.npz") as file:
        np.testing.assert_array_equal(capture.poses.transl, file["transl"][2:3])
    assert [str(item) for item in capture.left_out] == ["3 frames left out: no pose (0, 30, 125)"]


def test_what_is_missing_is_left_out(outfit, smplx_body) -> None:
    (outfit / "cameras/cam_00/camera.npz").unlink()
    shutil.rmtree(outfit / "images/cam_01")
    (outfit / "masks/cam_03/0050.jpg").unlink()
    change_params(outfit, body_pose=lambda value: np.where(np.arange(FRAMES)[:, None] == 3, np.nan, value))
    capture = only(outfit, smplx_body)
    assert capture.camera_names == ("cam_02", "cam_03", "cam_04", "cam_05")
    assert capture.frames == (25, 75)
    assert [str(item) for item in capture.left_out] == [
        "1 camera left out: no cameras/<camera>/camera.npz (cam_00)",
        "1 camera left out: no images (cam_01)",
        "1 frame left out: a mask is missing (50)",
        "1 frame left out: NaN or Inf in the pose, or a number above 1e+07 (100)",
    ]


def spoil_images(outfit: Path, name: str, size: tuple[int, int]) -> None:
    path = outfit / name
    Image.open(path).resize(size).save(path)


def copy_camera(outfit: Path) -> None:
    shutil.copy(outfit / "cameras/cam_00/camera.npz", outfit / "cameras/cam_01/camera.npz")


def store_objects(path: Path) -> None:
    np.savez(path, intrinsic=np.array({"a": 1}, object), extrinsic=np.eye(4))


CAMERA = "cameras/cam_01/camera.npz: "
ERRORS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no cameras": (lambda o: shutil.rmtree(o / "cameras"), "200102: expected cameras/cam_00/camera.npz, .* found none"),
    "camera cut": (
        lambda o: (o / "cameras/cam_01/camera.npz").write_bytes(b"PK\3\4"),
        f"{CAMERA}expected an .npz file",
    ),
    "camera pickled": (
        lambda o: store_objects(o / "cameras/cam_01/camera.npz"),
        f"{CAMERA}expected an .npz file .* found something|{CAMERA}refused",
    ),
    "no intrinsic": (
        lambda o: change_camera(o, intrinsic=None),
        f"{CAMERA}key 'intrinsic' is missing; found extrinsic",
    ),
    "no extrinsic": (lambda o: change_camera(o, extrinsic=None), f"{CAMERA}key 'extrinsic' is missing"),
    "rotation only": (
        lambda o: change_camera(o, extrinsic=np.eye(3)),
        rf"{CAMERA}key 'extrinsic': expected shape \(3, 4\) or \(4, 4\), found \(3, 3\)",
    ),
    "columns": (
        lambda o: change_camera(o, extrinsic=np.arange(16.0).reshape(4, 4)),
        rf"{CAMERA}key 'extrinsic': expected the last row 0 0 0 1, found \[12.0, ",
    ),
    "no rotation": (
        lambda o: change_camera(o, extrinsic=lambda v: v * 2),
        f"{CAMERA}key 'extrinsic': expected a rotation .*, found R R.T off by 3",
    ),
    "nan": (
        lambda o: change_camera(o, extrinsic=lambda v: v * np.nan),
        f"{CAMERA}key 'extrinsic': expected finite numbers",
    ),
    "K": (lambda o: change_camera(o, intrinsic=np.ones((3, 3))), rf"{CAMERA}key 'intrinsic': expected \[\[fx,0,cx\]"),
    "twins": (copy_camera, f"{CAMERA}expected a place of its own, found R and T of camera 'cam_00'"),
    "no params": (lambda o: (o / "smplx_params.npz").unlink(), "smplx_params.npz: missing"),
    "params cut": (
        lambda o: (o / "smplx_params.npz").write_bytes(b"PK\3\4"),
        "smplx_params.npz: expected an .npz arch",
    ),
    "no transl": (lambda o: change_params(o, transl=None), "smplx_params.npz: key 'transl' is missing"),
    "rows": (
        lambda o: change_params(o, transl=lambda v: v[1:]),
        r"smplx_params.npz: key 'transl': expected shape \(4, 3\), found \(3, 3\)",
    ),
    "hands": (
        lambda o: change_params(o, left_hand_pose=lambda v: v[:, :, None]),
        "smplx_params.npz: key 'left_hand_pose': expected shape",
    ),
    "betas nan": (
        lambda o: change_params(o, betas=lambda v: v * np.nan),
        "smplx_params.npz: key 'betas': expected finite numbers, found NaN or Inf",
    ),
    "poses nan": (
        lambda o: change_params(o, transl=lambda v: v * np.nan),
        "expected at least one frame .*, found none: 4 frames left out: NaN or Inf in the pose",
    ),
    "no images": (
        lambda o: shutil.rmtree(o / "images"),
        "expected at least one camera with images and masks, found non",
    ),
    "mask size": (
        lambda o: spoil_images(o, "masks/cam_02/0025.jpg", (48, 48)),
        "masks/cam_02/0025.jpg: expected 96x96 pixels like its image, found 48x48",
    ),
    "image size": (
        lambda o: spoil_images(o, "images/cam_02/0025.jpg", (48, 48)),
        "images/cam_02/0025.jpg: expected 96x96 pixels like .*cam_00/0025.jpg, found 48x48",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_every_mistake_has_one_clear_line(outfit, smplx_body, case) -> None:
    spoil, message = ERRORS[case]
    spoil(outfit)
    with pytest.raises(UserError) as caught:
        only(outfit, smplx_body)
    text = str(caught.value)
    assert "\n" not in text
    assert str(outfit) in text
    assert re.search(message, text), text


def test_a_truncated_image_names_itself_when_read(outfit, smplx_body) -> None:
    path = outfit / "images/cam_02/0050.jpg"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capture = only(outfit, smplx_body)
    with pytest.raises(UserError, match=r"cam_02/0050\.jpg"):
        capture.image(1, 2)


def test_a_folder_with_any_of_its_files_is_an_outfit(outfit, data) -> None:
    for path in (outfit / "smplx_params.npz", outfit / "cameras/cam_00/camera.npz"):
        folder = data.parent / "lonely"
        (folder / path.relative_to(outfit)).parent.mkdir(parents=True)
        shutil.copy(path, folder / path.relative_to(outfit))
        assert find_subjects(folder)["lonely"].layout.name == "MVHumanNet++"
        shutil.rmtree(folder)


def test_coordinates_of_a_map(outfit, smplx_body) -> None:
    """The body is seen where it is seen at the origin, to a tenth of a millimetre."""
    before = only(outfit, smplx_body)
    middle = np.array([4_210_034.0, 172_000.5, 4_780_000.25])
    change_params(outfit, transl=lambda transl: transl.astype(np.float64) + middle)
    for path in outfit.glob("cameras/*/camera.npz"):
        change_npz(path, extrinsic=lambda e: np.c_[e[:, :3], e[:, 3] - e[:, :3].astype(np.float64) @ middle])
    np.testing.assert_allclose(
        in_cameras(only(outfit, smplx_body), smplx_body), in_cameras(before, smplx_body), atol=1e-4
    )
