"""A run goes on where its files have moved to, as long as they are the same, and nowhere else."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.backbones import PlyBackbone, PlyConfig
from hgg_pyg.data import open_captures
from hgg_pyg.training.inputs import INPUTS_FILE, check_inputs, inputs_of, loss_text, perceptual_term, write_inputs
from hgg_pyg.training.losses import LossConfig
from hgg_pyg.training.run import RunConfig, create_run, find_checkpoint, follow_places, read_config
from hgg_pyg.types import UserError


def measured(config: RunConfig, body, lpips: bool = False, start: str = "surface") -> dict:
    return inputs_of(open_captures(config.captures, config.image_size, body), body, lpips, start)


@pytest.fixture
def begun(tiny_captures, tmp_path, body) -> RunConfig:
    """A run that was begun, with --resume, on captures that are then copied to where a test may change them."""
    config = RunConfig(data=tiny_captures, out=tmp_path / "runs", resume=True)
    write_inputs(config.folder, measured(config, body))
    create_run(config)
    copied = shutil.copytree(tiny_captures, tmp_path / "copied", copy_function=shutil.copyfile)
    for path in copied.rglob("*.jpg"):
        os.utime(path, (0, 0))
    return replace(config, data=copied)


def test_a_copy_is_the_same(begun, body, tiny_captures):
    assert find_checkpoint(begun) is None
    check_inputs(begun, measured(begun, body))
    assert read_config(begun.folder, RunConfig).data == tiny_captures
    follow_places(begun)
    assert read_config(begun.folder, RunConfig) == begun


def first(captures: Path, pattern: str) -> Path:
    return min((captures / "subject000").glob(pattern))


def change_a_byte(captures: Path) -> None:
    path = first(captures, "cam*/*.jpg")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def draw_another_image(captures: Path) -> None:
    Image.new("RGB", (32, 32), "red").save(sorted((captures / "subject000").glob("cam*/*.jpg"))[5])


def turn_a_joint(captures: Path) -> None:
    path = captures / "subject000" / "smpl_params.npz"
    values = dict(np.load(path))
    values["body_pose"][1, 5] += 0.01
    np.savez(path, **values)


def move_a_camera(captures: Path) -> None:
    path = captures / "subject000" / "calibration_full.json"
    cameras = json.loads(path.read_text())
    cameras[max(cameras)]["T"][0] += 0.01
    path.write_text(json.dumps(cameras))


def part_in_another_way(captures: Path) -> None:
    names = {"train": ["subject001"], "val": ["subject000"], "test": ["subject002"]}
    (captures / "splits.json").write_text(json.dumps(names))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_a_byte, "subject000: images and masks: expected those that the run was trained on, found others"),
        (draw_another_image, "subject000: images and masks: expected those"),
        (turn_a_joint, "subject000: poses: expected those"),
        (move_a_camera, "subject000: cameras: expected those"),
        (part_in_another_way, "train subjects: expected subject000, found subject001"),
    ],
)
def test_what_differs_is_named(begun, body, change: Callable[[Path], None], message):
    change(begun.captures)
    with pytest.raises(UserError, match=f"copied: {message}.*; --name starts another run"):
        check_inputs(begun, measured(begun, body))


@pytest.mark.parametrize("key", ["LPIPS", "network", "body"])
def test_what_else_is_learnt_from_is_compared(begun, body, key):
    found = measured(begun, body, lpips=key == "LPIPS", start="other" if key == "network" else "surface")
    if key == "body":
        found["body"] = "other"
    with pytest.raises(UserError, match=rf"inputs\.json: {key}: expected .*, found .*; --name"):
        check_inputs(begun, found)


def test_last_digits_of_another_processor_are_no_difference(begun, body):
    """Poses are brought into our convention by matrix products."""
    opened = open_captures(begun.captures, begun.image_size, body)
    (capture,) = opened.train
    noise = torch.Generator().manual_seed(0)
    near = capture.poses.map(lambda part: part * (1 + 2e-7 * torch.randn(part.shape, generator=noise)))
    assert not torch.equal(near.body_pose, capture.poses.body_pose)
    check_inputs(begun, inputs_of(replace(opened, train=(replace(capture, poses=near),)), body, False, "surface"))


def test_a_run_that_does_not_say_goes_on_in_its_own_place(begun, body, tiny_captures):
    (begun.folder / INPUTS_FILE).unlink()
    check_inputs(replace(begun, data=tiny_captures), measured(begun, body))
    with pytest.raises(
        UserError, match=r"config\.json: data: expected .*captures, found .*copied, and no inputs\.json"
    ):
        check_inputs(begun, measured(begun, body))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"body": 1}', "\udcff", "[" * 100_000])
def test_a_damaged_file_is_named(begun, body, text):
    (begun.folder / INPUTS_FILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"inputs\.json: expected .*, found "):
        check_inputs(begun, measured(begun, body))


def test_files_of_gaussians_are_known_by_contents(tmp_path):
    folder = tmp_path / "plys"
    folder.mkdir()
    for number in range(70):
        (folder / f"{number:03d}.ply").write_bytes(b"%d" % (number + 100))
    digest = PlyBackbone(PlyConfig(folder)).contents
    moved = shutil.copytree(folder, tmp_path / "moved", copy_function=shutil.copyfile)
    assert PlyBackbone(PlyConfig(moved)).contents == digest
    (moved / "000.ply").write_bytes(b"999")
    assert PlyBackbone(PlyConfig(moved)).contents != digest


def test_a_run_goes_on_with_the_loss_that_it_was_begun_with(begun, body, monkeypatch):
    monkeypatch.setattr("hgg_pyg.training.inputs.load_lpips", lambda: "LPIPS")
    assert perceptual_term(begun) is None  # weights have come to this machine since
    assert (loss_text(begun.folder, begun) or "").endswith("no LPIPS")
    assert perceptual_term(replace(begun, name="another")) == "LPIPS"
    assert perceptual_term(replace(begun, name="another", loss=LossConfig(lpips=0))) is None
    write_inputs(begun.folder, measured(begun, body, lpips=True))
    assert perceptual_term(begun) == "LPIPS"
    assert (loss_text(begun.folder, begun) or "").endswith("LPIPS (VGG-16) of all images of a clip")
    assert loss_text(begun.folder.with_name("none"), begun) is None
