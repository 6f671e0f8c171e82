"""Captures on disk: what a good one gives, and one clear line for everything that can be wrong with a bad one."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.data.capture import open_captures
from hgg_pyg.types import UserError

FRAMES, WIDTH, HEIGHT = 4, 48, 64
CAMERAS = ("cam00", "cam01")


def write_subject(folder: Path, seed: int = 0) -> Path:
    """A tiny capture: two cameras opposite each other, a soft-edged ellipse that holds a colour ramp."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0.5:HEIGHT, 0.5:WIDTH].astype(np.float64)
    calibration: dict[str, Any] = {}
    for camera, side in zip(CAMERAS, (1.0, -1.0), strict=True):
        calibration[camera] = {
            "K": [[60.0, 0, WIDTH / 2], [0, 61.0, HEIGHT / 2], [0, 0, 1]],
            "R": [side, 0, 0, 0, -1, 0, 0, 0, -side],
            "T": [0.0, 0.1, 2.5],
            "imgSize": [WIDTH, HEIGHT],
            "distCoeff": [0.0] * 5,
        }
        (folder / camera / "mask" / "pha").mkdir(parents=True)
        for frame in range(FRAMES):
            inside = 1.2 - ((x - 20 - frame) / 14) ** 2 - ((y - HEIGHT / 2) / 26) ** 2
            mask = np.clip(inside * 5, 0, 1)
            colour = np.stack([x / WIDTH, y / HEIGHT, np.full_like(x, 0.2 * frame)], -1) * mask[..., None]
            name = f"{frame:08d}.jpg"
            Image.fromarray((colour * 255).astype(np.uint8)).save(folder / camera / name, quality=95)
            Image.fromarray((mask * 255).astype(np.uint8)).save(folder / camera / "mask" / "pha" / name, quality=95)
    (folder / "calibration_full.json").write_text(json.dumps(calibration))
    save_params(
        folder,
        betas=rng.normal(size=(1, 10)),
        global_orient=rng.normal(size=(FRAMES, 3)),
        transl=rng.normal(size=(FRAMES, 3)),
        body_pose=rng.normal(size=(FRAMES, 69)),
    )
    return folder


def save_params(folder: Path, **arrays: Any) -> None:
    np.savez(folder / "smpl_params.npz", **arrays)


def change_params(folder: Path, **changes: Callable[[np.ndarray], Any] | None) -> None:
    """Replace keys by a function of themselves; None takes a key away."""
    with np.load(folder / "smpl_params.npz") as loaded:
        arrays: dict[str, Any] = {key: loaded[key] for key in loaded.files}
    for key, change in changes.items():
        if change is None:
            del arrays[key]
        else:
            arrays[key] = change(arrays.get(key, np.zeros(())))
    save_params(folder, **arrays)


def change_camera(folder: Path, camera: str = "cam01", **changes: Any) -> None:
    """Replace keys of a camera; None takes a key away."""
    path = folder / "calibration_full.json"
    content = json.loads(path.read_text())
    content[camera].update(changes)
    content[camera] = {key: value for key, value in content[camera].items() if value is not None}
    path.write_text(json.dumps(content))


def resize(path: Path, size: tuple[int, int]) -> None:
    image = Image.open(path).resize(size)
    image.save(path)


def save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    return write_subject(tmp_path / "anna")


def test_a_single_subject_is_opened_and_shared(subject: Path) -> None:
    captures = open_captures(subject)
    assert captures.shared_subjects
    assert captures.train == captures.val == captures.test
    (capture,) = captures.train
    assert (capture.name, capture.camera_names, capture.frames) == ("anna", CAMERAS, (0, 1, 2, 3))
    assert (capture.cameras.width, capture.cameras.height, capture.dropped_frames) == (WIDTH, HEIGHT, 0)
    image, mask = capture.image(2, 1), capture.mask(2, 1)
    assert (image.shape, mask.shape) == ((HEIGHT, WIDTH, 3), (HEIGHT, WIDTH))
    assert image.dtype == mask.dtype == np.float32
    stored = np.asarray(Image.open(subject / "cam01" / "00000002.jpg")) / 255
    np.testing.assert_allclose(image, stored, atol=1e-6)
    assert mask.max() == pytest.approx(1, abs=0.01)
    assert mask.min() == pytest.approx(0, abs=0.01)


def test_cameras_and_poses_are_those_of_the_files(subject: Path) -> None:
    (capture,) = open_captures(subject).test
    torch.testing.assert_close(capture.cameras.centers, torch.tensor([[0, 0.1, 2.5], [0, 0.1, -2.5]]))
    with np.load(subject / "smpl_params.npz") as params:
        np.testing.assert_allclose(capture.poses.betas, params["betas"][0], rtol=1e-6)
        np.testing.assert_allclose(capture.poses.body_pose, params["body_pose"], rtol=1e-6)
        np.testing.assert_allclose(capture.poses.transl, params["transl"], rtol=1e-6)


@pytest.mark.parametrize("image_size", [32, 40, 63, 64, 500])
def test_shrinking_averages_areas_and_keeps_rays(subject: Path, image_size: int) -> None:
    (full,), (small,) = open_captures(subject).train, open_captures(subject, image_size).train
    height = min(image_size, HEIGHT)
    width = round(WIDTH * height / HEIGHT)
    assert (small.cameras.width, small.cameras.height) == (width, height)
    assert small.image(1, 0).shape == (height, width, 3)
    assert small.mask(1, 0).shape == (height, width)
    for point in ([0.1, 0.4, 2.0], [-0.3, -0.2, 3.0]):  # in the camera: the same place relative to the image's size
        ray = torch.tensor(point) / point[2]
        before = (full.cameras.Ks[0] @ ray)[:2] / torch.tensor([WIDTH, HEIGHT])
        after = (small.cameras.Ks[0] @ ray)[:2] / torch.tensor([width, height])
        torch.testing.assert_close(after, before)
    # The centre of gravity of the mask, as a part of the size, does not move: shrinking does not shift.
    masks = full.mask(1, 0), small.mask(1, 0)
    centres = [mask.sum(0) @ (np.arange(mask.shape[1]) + 0.5) / mask.sum() / mask.shape[1] for mask in masks]
    assert centres[0] == pytest.approx(centres[1], abs=2e-3)
    assert masks[0].mean() == pytest.approx(masks[1].mean(), abs=2e-3)
    np.testing.assert_allclose(full.image(1, 0).mean((0, 1)), small.image(1, 0).mean((0, 1)), atol=4e-3)


def test_halving_is_the_mean_of_four_pixels(subject: Path) -> None:
    full, half = open_captures(subject).train[0].image(0, 0), open_captures(subject, 32).train[0].image(0, 0)
    expected = full.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3))
    assert np.abs(half - expected).mean() < 0.01


def test_listed_frames_are_dropped_with_their_poses(subject: Path) -> None:
    before = open_captures(subject).train[0]
    (subject / "cam01" / "00000001.jpg").unlink()
    (subject / "missing_img_files.txt").write_text("cam01/00000001.jpg\n\ncam99\\00000003.jpg\n")
    after = open_captures(subject).train[0]
    assert (after.frames, after.dropped_frames) == ((0, 2, 3), 1)
    assert torch.equal(after.poses.transl, before.poses.transl[[0, 2, 3]])
    assert after.image_paths[1][0].name == "00000002.jpg"


def test_flat_and_nested_matrices_and_the_other_name_are_the_same(subject: Path) -> None:
    before = open_captures(subject).train[0].cameras
    change_camera(subject, K=[60.0, 0, WIDTH / 2, 0, 61.0, HEIGHT / 2, 0, 0, 1], T=[[0.0], [0.1], [2.5]])
    (subject / "calibration_full.json").rename(subject / "calibration.json")
    after = open_captures(subject).train[0].cameras
    assert torch.equal(before.Ks, after.Ks)
    assert torch.equal(before.viewmats, after.viewmats)


def test_digest_follows_everything_a_result_depends_on(subject: Path) -> None:
    def digest(image_size: int | None = None) -> str:
        return open_captures(subject, image_size).train[0].digest

    seen = [digest()]
    assert digest() == seen[0] == digest(WIDTH * 2)
    seen.append(digest(32))
    os.utime(subject / "cam00" / "mask" / "pha" / "00000003.jpg", ns=(1, 1))
    seen.append(digest())
    change_params(subject, transl=lambda value: value + 1e-6)
    seen.append(digest())
    change_camera(subject, T=[0.0, 0.1, 2.6])
    seen.append(digest())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, (1, 1, 1)), (2, (2, 2, 2)), (3, (1, 1, 1)), (6, (4, 1, 1)), (12, (9, 1, 2))]
)
def test_default_splits(tmp_path: Path, count: int, sizes: tuple[int, int, int]) -> None:
    template = write_subject(tmp_path / "template")
    data = tmp_path / "data"
    for index in range(count):
        shutil.copytree(template, data / f"s{index:02d}")
    (data / "runs").mkdir()  # not a subject
    captures = open_captures(data)
    assert tuple(len(split) for split in (captures.train, captures.val, captures.test)) == sizes
    assert captures.shared_subjects == (count < 3)
    if count >= 3:
        names = [capture.name for capture in captures.train + captures.val + captures.test]
        assert names == [f"s{index:02d}" for index in range(count)]


def test_splits_file_is_honoured(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_subject(tmp_path / name)
    cut(tmp_path / "c" / "smpl_params.npz", 10)  # in no split: its state does not matter
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["b"], "val": [], "test": ["a"]}))
    captures = open_captures(tmp_path)
    assert [capture.name for capture in captures.train] == ["b"]
    assert captures.val == ()
    assert [capture.name for capture in captures.test] == ["a"]
    assert not captures.shared_subjects


SPLIT_ERRORS = {
    "not json": ("{", r"splits\.json: not JSON"),
    "missing key": ('{"train": ["a"], "val": []}', "expected the keys train, val and test, found train, val"),
    "a list": ('["a"]', "expected the keys train, val and test, found list"),
    "not names": ('{"train": "a", "val": [], "test": []}', "key 'train': expected a list of subject names, found"),
    "unknown": ('{"train": ["a"], "val": ["z"], "test": []}', "key 'val': no subject 'z'; found a, b, c"),
    "overlap": ('{"train": ["a"], "val": ["b"], "test": ["a"]}', "subject 'a' is in 'train' and again in 'test'"),
    "empty": ('{"train": [], "val": [], "test": []}', "expected at least one subject"),
}


@pytest.mark.parametrize("case", SPLIT_ERRORS)
def test_bad_splits(tmp_path: Path, case: str) -> None:
    content, message = SPLIT_ERRORS[case]
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "calibration.json").write_text("{}")
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(UserError, match=message):
        open_captures(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: None, "data: expected a folder of captures, found nothing"),
        (lambda data: data.write_text(""), "data: expected a folder of captures, found a file"),
        (lambda data: data.mkdir(), "expected calibration_full.json .* found an empty folder"),
        (lambda data: (data / "photos").mkdir(parents=True), "expected calibration_full.json .* found photos"),
    ],
)
def test_no_captures(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(UserError, match=message):
        open_captures(tmp_path / "data")


def test_image_size_must_be_positive(subject: Path) -> None:
    with pytest.raises(UserError, match="image_size: expected at least 1 pixel, found 0"):
        open_captures(subject, 0)


def with_nan(value: np.ndarray) -> np.ndarray:
    value[2, 1] = np.nan
    return value


MIRROR = [[1, 0, 0], [0, 1, 0], [0, 0, -1]]
K_SKEW = [[60, 3, 24], [0, 60, 32], [0, 0, 1]]
ERRORS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no calibration": (lambda s: (s / "calibration_full.json").unlink(), "anna: expected calibration_full.json or"),
    "calibration not json": (lambda s: (s / "calibration_full.json").write_text("{'"), "_full.json: not JSON"),
    "calibration empty": (lambda s: (s / "calibration_full.json").write_text("{}"), "with at least one camera, found"),
    "camera not a record": (lambda s: (s / "calibration_full.json").write_text('{"a": 3}'), "'a': expected .* found 3"),
    "no K": (lambda s: change_camera(s, K=None), "camera 'cam01': key 'K' is missing; found R, T, distCoeff, imgSize"),
    "no R": (lambda s: change_camera(s, R=None), "camera 'cam01': key 'R' is missing"),
    "no T": (lambda s: change_camera(s, T=None), "camera 'cam01': key 'T' is missing"),
    "K size": (lambda s: change_camera(s, K=[1, 2, 3]), "camera 'cam01': key 'K': expected 9 numbers, found 3"),
    "R size": (lambda s: change_camera(s, R=[[1, 0], [0, 1]]), "camera 'cam01': key 'R': expected 9 numbers, found 4"),
    "T size": (lambda s: change_camera(s, T=[1]), "camera 'cam01': key 'T': expected 3 numbers, found 1"),
    "T text": (lambda s: change_camera(s, T=["x", 1, 2]), "camera 'cam01': key 'T': expected numbers, found"),
    "T nan": (lambda s: change_camera(s, T=[float("nan"), 1, 2]), "camera 'cam01': key 'T': expected finite numbers"),
    "K skew": (lambda s: change_camera(s, K=K_SKEW), r"camera 'cam01': key 'K': expected \[\[fx,0,cx\]"),
    "K focal": (lambda s: change_camera(s, K=[0, 0, 1, 0, 1, 1, 0, 0, 1]), "camera 'cam01': key 'K': .* fx, fy > 0"),
    "R mirror": (lambda s: change_camera(s, R=MIRROR), "camera 'cam01': key 'R': expected a rotation .*nant -1"),
    "R scaled": (lambda s: change_camera(s, R=(np.eye(3) * 1.01).tolist()), "key 'R': .* found R R.T off by 0.02"),
    "distorted": (lambda s: change_camera(s, distCoeff=[0.1, 0, 0, 0]), "'distCoeff': expected zeros.*undistort"),
    "imgSize differs": (lambda s: change_camera(s, imgSize=[96, 128]), "'imgSize': expected 48x64 .*, found 96x128"),
    "imgSize count": (lambda s: change_camera(s, imgSize=[96]), "key 'imgSize': expected 2 numbers, found 1"),
    "no camera folder": (lambda s: shutil.rmtree(s / "cam01"), "cam01: missing; expected a folder of files"),
    "no mask folder": (lambda s: shutil.rmtree(s / "cam01/mask"), "cam01/mask/pha: missing; expected a folder"),
    "empty mask folder": (
        lambda s: [path.unlink() for path in (s / "cam01/mask/pha").iterdir()],
        "cam01/mask/pha: expected files 00000000.jpg, 00000001.jpg, ..., found none",
    ),
    "image missing": (
        lambda s: (s / "cam01/00000002.jpg").unlink(),
        "cam01/00000002.jpg: this image is missing.*list cam01/00000002.jpg in missing_img_files.txt",
    ),
    "mask missing": (lambda s: (s / "cam01/mask/pha/00000002.jpg").unlink(), "pha/00000002.jpg: this mask is missing"),
    "mask size": (
        lambda s: resize(s / "cam00/mask/pha/00000003.jpg", (24, 32)),
        "mask/pha/00000003.jpg: expected 48x64 pixels like its image, found 24x32",
    ),
    "image size": (
        lambda s: resize(s / "cam01/00000003.jpg", (24, 32)),
        "cam01/00000003.jpg: expected 48x64 pixels like .*cam00/00000000.jpg, found 24x32",
    ),
    "not an image": (lambda s: (s / "cam01/00000003.jpg").write_text("hello"), "cam01/00000003.jpg: not a readable im"),
    "all frames listed": (
        lambda s: (s / "missing_img_files.txt").write_text("".join(f"cam00/{n:08d}.jpg\n" for n in range(FRAMES))),
        "anna: expected at least one frame with all its images, found none",
    ),
    "list unreadable": (
        lambda s: (s / "missing_img_files.txt").write_text("cam00/00000000.jpg\n7\n"),
        "missing_img_files.txt: line 2: expected <camera>/00000000.jpg, found 7",
    ),
    "no params": (lambda s: (s / "smpl_params.npz").unlink(), "smpl_params.npz: missing; it holds"),
    "params not npz": (lambda s: (s / "smpl_params.npz").write_text("hello"), "expected an .npz archive"),
    "params cut": (lambda s: cut(s / "smpl_params.npz", 500), "smpl_params.npz: expected an .npz archive"),
    "params npy": (
        lambda s: save_array(s / "smpl_params.npz", np.zeros(3)),
        r"expected an .npz archive, found a single array of shape \(3,\)",
    ),
    "params pickled": (lambda s: change_params(s, transl=lambda v: v.astype(object)), "npz archive of plain arrays"),
    "params text": (lambda s: change_params(s, transl=lambda v: v.astype(str)), "key 'transl': expected numbers"),
    "no betas": (lambda s: change_params(s, betas=None), "key 'betas' is missing; found body_pose,"),
    "no transl": (lambda s: change_params(s, transl=None), "key 'transl' is missing"),
    "betas shape": (
        lambda s: change_params(s, betas=lambda v: v[0]),
        r"'betas': expected shape \(1, 10\), found \(10,\)",
    ),
    "betas inf": (lambda s: change_params(s, betas=lambda v: v / 0), "key 'betas': expected finite numbers, found NaN"),
    "orient shape": (
        lambda s: change_params(s, global_orient=lambda v: v[:, :2]),
        r"key 'global_orient': expected shape \(F, 3\), found \(4, 2\)",
    ),
    "pose shape": (
        lambda s: change_params(s, body_pose=lambda v: v.reshape(4, 23, 3)),
        r"key 'body_pose': expected shape \(4, 69\), found \(4, 23, 3\)",
    ),
    "transl rows": (
        lambda s: change_params(s, transl=lambda v: v[:3]),
        r"key 'transl': expected shape \(4, 3\), found \(3, 3\)",
    ),
    "pose nan": (lambda s: change_params(s, body_pose=with_nan), "key 'body_pose': .* found NaN or Inf first in row 2"),
    "frame count": (
        lambda s: change_params(s, **dict.fromkeys(("global_orient", "transl", "body_pose"), lambda v: v[:3])),
        r"smpl_params.npz: expected one row for each frame: 4 frame numbers .* found 3 rows",
    ),
    "smplx pose": (
        lambda s: change_params(s, body_pose=lambda v: v[:, :63]),
        r"holds SMPL-X parameters \(body_pose of 63 values\); a 24-joint SMPL body needs body_pose \(F, 69\)",
    ),
    "smplx keys": (
        lambda s: change_params(s, jaw_pose=lambda v: np.zeros((4, 3)), left_hand_pose=lambda v: np.zeros((4, 45))),
        r"holds SMPL-X parameters \(jaw_pose, left_hand_pose\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_every_mistake_has_one_clear_line(subject: Path, case: str) -> None:
    spoil, message = ERRORS[case]
    spoil(subject)
    with pytest.raises(UserError) as caught:
        open_captures(subject)
    text = str(caught.value)
    assert "\n" not in text
    assert str(subject) in text
    assert re.search(message, text), text


def test_a_truncated_image_names_itself_when_read(subject: Path) -> None:
    path = subject / "cam00" / "00000001.jpg"
    cut(path, path.stat().st_size // 2)
    (capture,) = open_captures(subject).train  # the header is whole
    with pytest.raises(UserError, match=r"cam00/00000001\.jpg: cannot read this image"):
        capture.image(1, 0)
    assert capture.image(0, 0).max() > 0.3


def test_a_deleted_mask_names_itself_when_read(subject: Path) -> None:
    (capture,) = open_captures(subject).train
    (subject / "cam00" / "mask" / "pha" / "00000001.jpg").unlink()
    with pytest.raises(UserError, match=r"mask/pha/00000001\.jpg: cannot read this image"):
        capture.mask(1, 0)
