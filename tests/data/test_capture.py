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

from hgg_pyg.data import open_captures
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.protocols import PROTOCOLS, Protocol
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


def double_camera(folder: Path) -> None:
    """The last camera written twice, which most JSON readers take without a word."""
    path = folder / "calibration_full.json"
    camera = json.dumps(json.loads(path.read_text())["cam01"])
    path.write_text(path.read_text().rstrip()[:-1] + f', "cam01": {camera}}}')


def change_rows(folder: Path, rows: int) -> None:
    """Keep the first rows of all parameters that have a row per frame."""
    change_params(folder, **dict.fromkeys(("global_orient", "transl", "body_pose"), lambda value: value[:rows]))


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
    assert (capture.size(), capture.left_out, capture.layout) == ((WIDTH, HEIGHT), (), "AvatarReX")
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
    assert after.frames == (0, 2, 3)
    assert [(out.what, out.names) for out in after.left_out] == [("frame", ("1",))]
    assert torch.equal(after.poses.transl, before.poses.transl[[0, 2, 3]])
    assert after.images.path(1, 0).name == "00000002.jpg"


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
    assert len(captures.require("all", data)) == count
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
    "not json": ("{", r"splits\.json: expected the keys train, val and test, found what is not JSON"),
    "missing key": ('{"train": ["a"], "val": []}', "expected the keys train, val and test, found train, val"),
    "a list": ('["a"]', "expected the keys train, val and test, found a list"),
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
        (lambda data: data.mkdir(), "expected a subject's folder, .* found an empty folder"),
        (
            lambda data: (data / "photos").mkdir(parents=True),
            "expected a subject's folder, .*AvatarReX: calibration_full.json.* found photos",
        ),
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
    "calibration not json": (
        lambda s: (s / "calibration_full.json").write_text("{'"),
        "_full.json: .* not JSON",
    ),
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
    "distorted": (lambda s: change_camera(s, distCoeff=[0.1] * 8), "'distCoeff': expected k1 .*, found 8 .*undistort"),
    "imgSize differs": (lambda s: change_camera(s, imgSize=[96, 96]), "'cam01': calibrated for 96x96 .* found 48x64"),
    "imgSize count": (lambda s: change_camera(s, imgSize=[96]), "key 'imgSize': expected 2 numbers, found 1"),
    "camera twice": (lambda s: double_camera(s), "_full.json: expected every key once, found 'cam01' twice"),
    "camera copied": (
        lambda s: change_camera(s, **json.loads((s / "calibration_full.json").read_text())["cam00"]),
        "camera 'cam01': expected a place of its own, found R and T of camera 'cam00'",
    ),
    "no camera folders": (
        lambda s: [shutil.rmtree(s / camera) for camera in CAMERAS],
        "expected at least one camera with images and masks, found none: 2 cameras left out: no images .cam00, cam01.",
    ),
    "no mask folders": (
        lambda s: [shutil.rmtree(s / camera / "mask") for camera in CAMERAS],
        "expected at least one camera .* 2 cameras left out: no masks",
    ),
    "mask size": (
        lambda s: resize(s / "cam00/mask/pha/00000000.jpg", (24, 32)),
        "mask/pha/00000000.jpg: expected 48x64 pixels like its image, found 24x32",
    ),
    "image size": (
        lambda s: resize(s / "cam01/00000000.jpg", (24, 32)),
        "cam01/00000000.jpg: expected 48x64 pixels like .*cam00/00000000.jpg, found 24x32",
    ),
    "not an image": (lambda s: (s / "cam01/00000000.jpg").write_text("hello"), "cam01/00000000.jpg: not a readable im"),
    "all frames listed": (
        lambda s: (s / "missing_img_files.txt").write_text("".join(f"cam00/{n:08d}.jpg\n" for n in range(FRAMES))),
        "anna: expected at least one camera .* found none: 4 frames left out: listed in missing_img_files.txt",
    ),
    "list unreadable": (
        lambda s: (s / "missing_img_files.txt").write_text("cam00/00000000.jpg\n7\n"),
        "missing_img_files.txt: line 2: expected <camera>/00000000.jpg, found '7'",
    ),
    "list of another encoding": (
        lambda s: (s / "missing_img_files.txt").write_text("cam00/00000000.jpg\n", "utf-16"),
        r"missing_img_files.txt: line 1: expected <camera>/00000000.jpg, found .*c\\x00a\\x00m",
    ),
    "list of thousands of digits": (
        lambda s: (s / "missing_img_files.txt").write_text(f"cam00/{'9' * 5000}.jpg\n"),
        "missing_img_files.txt: line 1: expected <camera>/00000000.jpg, found 'cam00/999",
    ),
    "list that is nowhere": (
        lambda s: (s / "missing_img_files.txt").symlink_to("nowhere"),
        "missing_img_files.txt: expected a list of images that are missing, found nothing to read .No such file",
    ),
    "body.txt a folder": (
        lambda s: ((s / "body.txt").unlink(missing_ok=True), (s / "body.txt").mkdir()),
        "body.txt: expected one of smpl, smplx, open, open-smplx, found nothing to read .Is a directory",
    ),
    "cameras called otherwise": (
        lambda s: [(s / camera).rename(s / f"view{camera[3:]}") for camera in CAMERAS],
        "2 cameras left out: no calibration .view00, view01.; .* no images .cam00, cam01.; folders there: view00, view",
    ),
    "params complex": (
        lambda s: change_params(s, transl=lambda v: v.astype(complex)),
        "smpl_params.npz: expected .* plain arrays, key 'transl', found something unreadable .an array of complex128",
    ),
    "expression of SMPL": (
        lambda s: change_params(s, expression=lambda _: np.zeros((FRAMES, 10))),
        r"key 'expression': expected only beside body_pose \(F, 63\) of SMPL-X, found it beside \(F, 69\) of SMPL",
    ),
    "no params": (lambda s: (s / "smpl_params.npz").unlink(), "smpl_params.npz: missing; it holds"),
    "params not npz": (lambda s: (s / "smpl_params.npz").write_text("hello"), "expected an .npz archive"),
    "params cut": (lambda s: cut(s / "smpl_params.npz", 500), "smpl_params.npz: expected an .npz archive"),
    "params npy": (
        lambda s: save_array(s / "smpl_params.npz", np.zeros(3)),
        r"expected an .npz archive of plain arrays, .* \(a single array, as numpy.save writes it\)",
    ),
    "params pickled": (lambda s: change_params(s, transl=lambda v: v.astype(object)), "npz archive of plain arrays"),
    "params text": (lambda s: change_params(s, transl=lambda v: v.astype(str)), "key 'transl': expected numbers"),
    "no betas": (lambda s: change_params(s, betas=None), "key 'betas' is missing; found body_pose,"),
    "no transl": (lambda s: change_params(s, transl=None), "key 'transl' is missing"),
    "betas shape": (
        lambda s: change_params(s, betas=lambda v: np.repeat(v, 3, 0)),
        r"'betas': expected shape \(1, 10\), \(10,\) or \(4, 10\), .* found \(3, 10\)",
    ),
    "betas inf": (lambda s: change_params(s, betas=lambda v: v / 0), "key 'betas': expected finite numbers, found NaN"),
    "orient shape": (
        lambda s: change_params(s, global_orient=lambda v: v[:, :2]),
        r"key 'global_orient': expected shape \(4, 3\), found \(4, 2\)",
    ),
    "pose shape": (
        lambda s: change_params(s, body_pose=lambda v: v.reshape(4, 23, 3)),
        r"key 'body_pose': expected shape \(4, 69\), found \(4, 23, 3\)",
    ),
    "transl rows": (
        lambda s: change_params(s, transl=lambda v: v[:3]),
        r"key 'transl': expected shape \(4, 3\), found \(3, 3\)",
    ),
    "poses all nan": (
        lambda s: change_params(s, transl=lambda v: v * np.nan),
        "anna: expected at least one frame .* found none: 4 frames left out: NaN or Inf in the pose",
    ),
    "frame count": (
        lambda s: change_rows(s, 3),
        r"smpl_params.npz: expected a row for each frame: 4, up to the last .* or 4, .* found 3 rows",
    ),
    "pose width": (
        lambda s: change_params(s, body_pose=lambda v: v[:, :66]),
        r"key 'body_pose': expected shape \(4, 69\), found \(4, 66\)",
    ),
    "smplx pose": (
        lambda s: change_params(s, body_pose=lambda v: v[:, :63]),
        "anna: poses of SMPL-X need its body: give --body",
    ),
    "unknown body": (lambda s: (s / "body.txt").write_text("star"), "body.txt: expected one of smpl, .*, found 'star'"),
    "another body": (
        lambda s: (s / "body.txt").write_text("open-smplx"),
        "body.txt: says open-smplx, expected what the poses are for: open",
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


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def leave_out(folder: Path, spoil: Callable[[Path], Any]) -> tuple[tuple[int, ...], list[tuple[str, tuple[str, ...]]]]:
    spoil(folder)
    (capture,) = open_captures(folder).train
    assert len(capture.poses) == len(capture.frames)
    assert capture.mask(len(capture.frames) - 1, len(capture.camera_names) - 1).shape == (HEIGHT, WIDTH)
    return capture.frames, [(out.reason, out.names) for out in capture.left_out]


@pytest.mark.parametrize(
    ("spoil", "frames", "left_out"),
    [
        (lambda s: (s / "cam01/00000002.jpg").unlink(), (0, 1, 3), ("an image is missing", ("2",))),
        (lambda s: link_to_itself(s / "cam01/00000002.jpg"), (0, 1, 3), ("an image is missing", ("2",))),
        (
            lambda s: (s / "missing_img_files.txt").write_text("cam01/00000002.jpg\r\n", "utf-8-sig"),
            (0, 1, 3),
            ("listed in missing_img_files.txt", ("2",)),
        ),
        (lambda s: shutil.copytree(s / "cam01", s / "cam02"), (0, 1, 2, 3), ("no calibration", ("cam02",))),
        (lambda s: (s / "cam01/mask/pha/00000000.jpg").unlink(), (1, 2, 3), ("a mask is missing", ("0",))),
        (
            lambda s: change_params(s, body_pose=with_nan),
            (0, 1, 3),
            ("NaN or Inf in the pose, or a number above 1e+07", ("2",)),
        ),
        (lambda s: shutil.rmtree(s / "cam01"), (0, 1, 2, 3), ("no images", ("cam01",))),
        (lambda s: shutil.rmtree(s / "cam00/mask"), (0, 1, 2, 3), ("no masks", ("cam00",))),
        (
            lambda s: [(s / f"cam01/0000000{n}.jpg").unlink() for n in (0, 1, 3)],
            (0, 1, 2, 3),
            ("1 images with masks, where others have 4", ("cam01",)),
        ),
    ],
)
def test_what_can_be_left_out_is_left_out_and_counted(
    subject: Path, spoil: Callable[[Path], Any], frames: tuple[int, ...], left_out: tuple[str, tuple[str, ...]]
) -> None:
    assert leave_out(subject, spoil) == (frames, [left_out])
    assert left_out[0] in open_captures(subject).describe()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_may_begin_with_a_mark(subject: Path, encoding: str) -> None:
    (subject / "body.txt").write_text("open\r\n", encoding)
    assert next(iter(find_subjects(subject).values())).kinds == ("open",)


def test_rows_are_numbered_like_frames_or_follow_them(subject: Path) -> None:
    whole = open_captures(subject).train[0].poses.transl
    for camera in CAMERAS:
        (subject / camera / "00000001.jpg").unlink()
    (capture,) = open_captures(subject).train  # four rows, the last frame is 3: row i is frame i
    assert torch.equal(capture.poses.transl, whole[[0, 2, 3]])
    change_rows(subject, 3)
    (capture,) = open_captures(subject).train  # three rows, three numbers: in their order
    assert torch.equal(capture.poses.transl, whole[[0, 1, 2]])


def test_a_mask_of_another_size_names_itself_when_read(subject: Path) -> None:
    resize(subject / "cam00/mask/pha/00000003.jpg", (24, 32))
    (capture,) = open_captures(subject).train
    with pytest.raises(UserError, match=r"mask/pha/00000003\.jpg: expected 48x64 pixels.*found 24x32"):
        capture.mask(3, 0)


def test_subjects_that_cannot_be_opened_are_left_out_of_many(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_subject(tmp_path / name)
    cut(tmp_path / "b" / "smpl_params.npz", 10)
    captures = open_captures(tmp_path)
    assert [[c.name for c in part] for part in (captures.train, captures.val, captures.test)] == [["a"], ["c"], ["d"]]
    assert len(captures.refused) == 1
    assert re.search(r"b/smpl_params.npz: expected an .npz", captures.describe())
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["a"], "val": ["b"], "test": ["d"]}))
    with pytest.raises(UserError, match=r"b/smpl_params.npz: expected an .npz"):
        open_captures(tmp_path)


@pytest.mark.parametrize("broken", ["a", "d"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: cut(folder / "smpl_params.npz", 10), "smpl_params.npz: expected an .npz"),
        (lambda folder: (folder / "body.txt").write_text("mine"), "body.txt: expected one of .* found 'mine'"),
        (lambda folder: shutil.rmtree(folder / "cam01"), "expected at least 2 cameras .* --clip.input-views 1"),
        (lambda folder: (folder / "calibration_full.json").write_text("{"), "calibration_full.json: "),
    ],
)
def test_a_broken_subject_of_many_is_left_out_whichever_it_is(
    tmp_path: Path, broken: str, spoil: Callable[[Path], Any], reason: str
) -> None:
    template = write_subject(tmp_path / "template")
    for name in ("a", "b", "c", "d"):
        shutil.copytree(template, tmp_path / "data" / name)
    spoil(tmp_path / "data" / broken)
    captures = open_captures(tmp_path / "data", input_views=2)
    (refused,) = captures.refused
    assert re.search(f"/{broken}.*{reason}", refused)
    assert [c.name for c in (*captures.train, *captures.val, *captures.test)] == [n for n in "abcd" if n != broken]
    missing = {"a": None, "d": "test"}[broken]
    for split in ("train", "val", "test"):
        if split == missing:
            with pytest.raises(
                UserError, match=f"expected subjects in split {split}, found none; left out: .*{reason}"
            ):
                captures.require(split, tmp_path)
        else:
            assert captures.require(split, tmp_path) == getattr(captures, split)


def test_links_to_subjects_are_called_as_they_are_and_count_once(tmp_path: Path) -> None:
    for day in ("day1", "day2"):
        write_subject(tmp_path / "store" / day / "capture")
    data = tmp_path / "data"
    data.mkdir()
    for name, day in (("bob", "day1"), ("alice", "day2"), ("zoe", "day1")):  # bob and zoe are one
        (data / name).symlink_to(tmp_path / "store" / day / "capture")
    shutil.copytree(tmp_path / "store" / "day1" / "capture", data / "real")
    (data / "latest").symlink_to("real")
    (data / "up").symlink_to(".")
    assert list(find_subjects(data)) == ["alice", "bob", "real"]
    assert [capture.name for capture in open_captures(data).test] == ["real"]
    assert list(find_subjects(data / "zoe")) == ["zoe"]
    assert open_captures(data / "zoe").test[0].name == "zoe"


def test_a_folder_that_cannot_be_listed_is_left_out_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_subject(tmp_path / "anna")
    (tmp_path / "lost+found").mkdir()
    listed = Path.iterdir

    def iterdir(self: Path) -> Any:
        if self.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    captures = open_captures(tmp_path)
    assert [capture.name for capture in captures.test] == ["anna"]
    assert "left out: " in captures.describe()
    assert re.search(r"lost\+found: expected a folder that can be read, .*Permission denied", captures.refused[0])
    with pytest.raises(UserError, match=r"lost\+found: expected a folder that can be read"):
        open_captures(tmp_path / "lost+found")


def test_folders_named_like_splits_are_splits(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/c"):
        write_subject(tmp_path / "main_data" / name)
    captures = open_captures(tmp_path)
    assert [[c.name for c in part] for part in (captures.train, captures.val, captures.test)] == [["a", "b"], [], ["c"]]
    shutil.copytree(tmp_path / "main_data/train/a", tmp_path / "main_data/test/a")
    with pytest.raises(UserError, match=r"train/a: expected subjects of different names, found .*test/a too"):
        open_captures(tmp_path)


def test_the_papers_protocol(tmp_path: Path) -> None:
    for name in ("100001", "100002", "200102", "204157"):
        write_subject(tmp_path / name)
    captures = open_captures(tmp_path, protocol="paper")
    assert [[c.name for c in part] for part in (captures.train, captures.val, captures.test)] == [
        ["100001"],
        ["100002"],
        ["200102", "204157"],
    ]
    (tmp_path / "200102").rename(tmp_path / "x")
    (tmp_path / "204157").rename(tmp_path / "y")
    with pytest.raises(UserError, match=r"expected test subjects of this protocol .200102, .*, found none"):
        open_captures(tmp_path, protocol="paper")


def test_a_protocol_uses_evenly_spread_frames(subject: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "paper", Protocol(test_subjects=("anna",), frames=2))
    whole, few = open_captures(subject).test[0], open_captures(subject, protocol="paper").test[0]
    assert few.frames == (0, 3)
    assert torch.equal(few.poses.transl, whole.poses.transl[[0, 3]])
    np.testing.assert_array_equal(few.mask(1, 1), whole.mask(3, 1))
    assert few.digest != whole.digest


def test_thuman4_is_the_same_capture_in_other_folders(subject: Path, tmp_path: Path) -> None:
    (before,) = open_captures(subject).train
    other = tmp_path / "bert"
    for camera in CAMERAS:
        shutil.copytree(subject / camera / "mask" / "pha", other / "masks" / camera)
        shutil.copytree(subject / camera, other / "images" / camera, ignore=shutil.ignore_patterns("mask"))
    shutil.copy(subject / "calibration_full.json", other / "calibration.json")
    shutil.copy(subject / "smpl_params.npz", other)
    (after,) = open_captures(other).train
    assert (after.layout, after.frames) == ("THuman4", before.frames)
    np.testing.assert_array_equal(after.image(2, 1), before.image(2, 1))
    np.testing.assert_array_equal(after.mask(2, 1), before.mask(2, 1))


def test_selected_frames_are_those_frames_under_another_digest(subject: Path) -> None:
    (capture,) = open_captures(subject).train
    chosen = capture.select([1, 3])
    assert (chosen.frames, len(chosen.poses)) == ((1, 3), 2)
    np.testing.assert_array_equal(chosen.image(1, 0), capture.image(3, 0))
    assert chosen.digest != capture.digest


def test_intrinsics_follow_the_size_they_are_for(subject: Path) -> None:
    before = open_captures(subject).train[0].cameras
    K = [[120.0, 0, WIDTH], [0, 122.0, HEIGHT], [0, 0, 1]]
    change_camera(subject, K=K, imgSize=[2 * WIDTH, 2 * HEIGHT])
    torch.testing.assert_close(open_captures(subject).train[0].cameras.Ks, before.Ks)
