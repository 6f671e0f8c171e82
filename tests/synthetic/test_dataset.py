"""Synthetic captures on disk: reproducible, resumable, readable, and their calibration fits their images."""

import errno
import json
import os
import pickle
import queue
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import maximum_filter

from hgg_pyg.data import open_captures
from hgg_pyg.io.files import temporary_path
from hgg_pyg.runtime import run_command
from hgg_pyg.synthesize import main
from hgg_pyg.synthetic import SynthesizeConfig, dataset, synthesize
from hgg_pyg.synthetic.capture_writer import subject_path, write_subject
from hgg_pyg.synthetic.dataset import split_names
from hgg_pyg.types import BodyPose, UserError

NAMES = ["subject000", "subject001", "subject002"]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> SynthesizeConfig:
    return SynthesizeConfig(
        tmp_path_factory.mktemp("synthetic") / "a", subjects=3, frames=2, views=2, size=48, workers=2
    )


@pytest.fixture(scope="module")
def captures(config) -> Path:
    return synthesize(config)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def posed_body(body, folder: Path) -> torch.Tensor:
    params = {key: torch.from_numpy(value) for key, value in np.load(folder / "smpl_params.npz").items()}
    params["betas"] = params["betas"][0]
    return body.pose(BodyPose(**params)).vertices


def test_layout(captures):
    assert sorted(p.name for p in captures.iterdir()) == sorted([*NAMES, "splits.json", "synthetic.json"])
    splits = json.loads((captures / "splits.json").read_text())
    assert splits == {"train": ["subject000"], "val": ["subject001"], "test": ["subject002"]}
    for name in NAMES:
        folder = captures / name
        calibration = json.loads((folder / "calibration_full.json").read_text())
        assert list(calibration) == ["cam00", "cam01"]
        for camera, entry in calibration.items():
            assert np.shape(entry["K"]) == np.shape(entry["R"]) == (3, 3)
            assert np.shape(entry["T"]) == (3,)
            assert entry["imgSize"] == [48, 48]
            assert not any(entry["distCoeff"])
            for frame in range(2):
                image = np.asarray(Image.open(folder / camera / f"{frame:08d}.jpg"))
                mask = np.asarray(Image.open(folder / camera / "mask" / "pha" / f"{frame:08d}.jpg"))
                assert image.shape == (48, 48, 3)
                assert mask.shape == (48, 48)
                assert 0.04 < (mask > 127).mean() < 0.6
                assert image[mask > 250].std() > 5
        assert (folder / "body.txt").read_text() == "open\n"
        params = np.load(folder / "smpl_params.npz")
        shapes = {key: params[key].shape for key in params}
        assert shapes == {"betas": (1, 10), "global_orient": (2, 3), "transl": (2, 3), "body_pose": (2, 69)}


def test_the_loader_reads_it(captures):
    found = open_captures(captures)
    assert [[capture.name for capture in part] for part in (found.train, found.val, found.test)] == [[n] for n in NAMES]
    assert len(found.train[0].frames) == 2


def test_the_same_seed_gives_the_same_bytes_and_finished_subjects_are_kept(captures, config, tmp_path):
    """An interrupted run: one subject there, one half written. The rest is made by another number of workers."""
    again = replace(config, out=tmp_path / "b", workers=1)
    again.out.mkdir()
    shutil.copy(captures / "synthetic.json", again.out)
    shutil.copytree(captures / NAMES[0], again.out / NAMES[0])
    kept = again.out / NAMES[0] / "cam00" / "00000000.jpg"
    kept.write_bytes(b"touched")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = temporary_path(again.out / NAMES[1]).name
    half = again.out / own.replace(f".{os.getpid()}.", f".{ended.pid}.")
    (half / "cam99").mkdir(parents=True)
    synthesize(again)
    assert kept.read_bytes() == b"touched"
    shutil.copy(captures / NAMES[0] / "cam00" / "00000000.jpg", kept)
    assert content(again.out) == content(captures)
    assert not half.exists()


def test_a_worker_of_a_killed_run_that_is_late_gives_way(captures, config, body, tmp_path):
    """It comes to its end when the next run has written the same subject."""
    again = replace(config, out=tmp_path / "b")

    def overtaken(images: int) -> None:
        shutil.copytree(captures / NAMES[0], again.out / NAMES[0], dirs_exist_ok=True)

    write_subject(again, 0, body, overtaken)
    assert content(again.out / NAMES[0]) == content(captures / NAMES[0])
    assert [path.name for path in again.out.iterdir()] == [NAMES[0]]


def test_a_complete_folder_is_left_alone(captures, config, monkeypatch):
    monkeypatch.setattr("hgg_pyg.synthetic.dataset._write_all", None)
    assert synthesize(replace(config, workers=1)) == captures


def test_another_seed_gives_other_people(captures, config, body, tmp_path):
    other = replace(config, out=tmp_path, seed=1)
    reported: list[int] = []
    write_subject(other, 0, body, reported.append)
    assert reported == [2, 2]
    first, second = content(captures / NAMES[0]), content(tmp_path / NAMES[0])
    assert first.keys() == second.keys()
    assert all((first[name] != second[name]) == (name != "body.txt") for name in first)
    assert content(captures / NAMES[1])["smpl_params.npz"] != first["smpl_params.npz"]


def test_the_calibration_fits_the_images(body, tmp_path):
    config = SynthesizeConfig(tmp_path, subjects=3, frames=2, views=3, size=256, seed=4)
    write_subject(config, 1, body, lambda count: None)
    folder = tmp_path / NAMES[1]
    calibration = json.loads((folder / "calibration_full.json").read_text())
    vertices = posed_body(body, folder).double().numpy()
    for camera, entry in calibration.items():
        intrinsics, rotation, shift = (np.array(entry[key]) for key in ("K", "R", "T"))
        for frame in range(2):
            mask = np.asarray(Image.open(folder / camera / "mask" / "pha" / f"{frame:08d}.jpg")) / 255
            seen = (vertices[frame] @ rotation.T + shift) @ intrinsics.T
            x, y = np.floor(seen[:, :2] / seen[:, 2:]).astype(int).T
            assert min(x.min(), y.min()) >= 4
            assert max(x.max(), y.max()) < 252
            assert (mask[y, x] > 0.5).mean() > 0.94
            # What is left lies on the outline of bare skin, in pixels that are covered by less than half.
            near = maximum_filter(mask, 3)
            assert (near[y, x] > 0.5).mean() > 0.998
            shifted = [near[y + dy, x + dx] for dy, dx in ((4, 0), (-4, 0), (0, 4), (0, -4))]
            assert min((values > 0.5).mean() for values in shifted) < 0.98  # the mask is no wider than the person


def test_feet_stand_on_the_ground(captures, body):
    for name in NAMES:
        lowest = posed_body(body, captures / name)[..., 1].amin(1)
        assert (lowest > 0).all()  # bare soles, inside of shoes
        assert (lowest < 0.04).all()


@pytest.mark.parametrize("count", [3, 4, 12, 24, 100])
def test_splits_are_disjoint_and_complete(count):
    names = [str(i) for i in range(count)]
    splits = split_names(names)
    assert sorted(name for part in splits.values() for name in part) == sorted(names)
    assert all(splits.values())
    if count == 24:
        assert [len(splits[part]) for part in ("train", "val", "test")] == [18, 2, 4]


@pytest.mark.parametrize(
    ("option", "value"), [("subjects", 2), ("frames", 0), ("views", 0), ("size", 15), ("seed", -1), ("workers", -1)]
)
def test_numbers_that_are_too_small(option, value, tmp_path):
    with pytest.raises(ValueError, match=option):
        SynthesizeConfig(tmp_path, **{option: value})


def test_a_folder_of_other_options_is_refused(captures, config):
    with pytest.raises(UserError, match=r"synthetic\.json"):
        synthesize(replace(config, frames=3))
    assert len(content(captures)) == len(content(config.out))


def test_a_folder_of_another_layout_is_refused(captures, config):
    with pytest.raises(
        UserError, match=r"synthetic\.json: expected \{'layout': 'thuman4'\}, found \{'layout': 'avatarrex'\}; "
    ):
        synthesize(replace(config, layout="thuman4"))


def test_a_folder_from_before_layouts_had_names_is_ours(captures, config, tmp_path):
    older = replace(config, out=tmp_path / "older")
    shutil.copytree(captures, older.out)
    options = json.loads((older.out / "synthetic.json").read_text())
    for name in ("layout", "clothes"):
        del options[name]
    (older.out / "synthetic.json").write_text(json.dumps(options))
    before = content(older.out)
    synthesize(older)
    assert content(older.out) == before
    with pytest.raises(UserError, match="zju_mocap"):
        synthesize(replace(older, layout="zju_mocap"))


@pytest.mark.parametrize("layout", ["zju_mocap_313", "mvhumannet_pp"])
def test_every_layout_is_completed_and_then_left_alone(layout, body, tmp_path, monkeypatch):
    """With and without a splits.json that says that all is there. The workers' part is done in this process."""
    config = SynthesizeConfig(tmp_path / "out", subjects=3, frames=1, views=1, size=16, layout=layout)
    asked: list[list[int]] = []

    def write_all(config, indices, clips):
        asked.append(indices)
        for index in indices:
            write_subject(config, index, body, lambda count: None)
            yield config.views
            if len(asked) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr("hgg_pyg.synthetic.dataset._write_all", write_all)
    with pytest.raises(KeyboardInterrupt):
        synthesize(config)
    assert not (config.out / "splits.json").exists()
    synthesize(config)
    complete = content(config.out)
    synthesize(config)
    assert asked == [[0, 1, 2], [1, 2]]
    assert content(config.out) == complete
    if layout == "mvhumannet_pp":
        assert sorted(p.name for p in config.out.glob("main_data/*/*")) == ["200102", "200103", "200104"]
        assert [p.name for p in config.out.glob("main_data/test/*")] == ["200104"]
        assert not (config.out / "splits.json").exists()
    else:
        splits = json.loads((config.out / "splits.json").read_text())
        assert splits == {"train": ["CoreView_313"], "val": ["CoreView_315"], "test": ["CoreView_317"]}


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="empty"):
        synthesize(SynthesizeConfig(tmp_path))
    with pytest.raises(UserError, match="folder"):
        synthesize(SynthesizeConfig(tmp_path / "thesis.txt"))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_command_reports_a_mistake_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["synthesize", "--out", str(tmp_path / "x"), "--views", "0"])
    with pytest.raises(SystemExit) as stop:
        run_command(SynthesizeConfig, main)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "views" in message


def test_a_disk_that_fills_is_a_line_that_names_the_subject(tmp_path, body, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hgg_pyg.synthetic.layouts.base.save_jpeg", full)
    monkeypatch.setattr(dataset, "_worker", (body, queue.SimpleQueue(), []))
    config = SynthesizeConfig(tmp_path, subjects=3, frames=1, views=1, size=16)
    with pytest.raises(UserError, match=r"subject000: expected .* room in it, found: No space left") as said:
        dataset._write_one(config, 0)
    assert str(pickle.loads(pickle.dumps(said.value))) == str(said.value)  # as another process hands it on
    assert not (tmp_path / subject_path(config, 0)).exists()
