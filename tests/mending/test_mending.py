"""A data set with noise on its poses is mended once: nearer the truth, all else as it was, and whole or not there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.data.layouts.base import PoseTable
from hgg_pyg.data.pose_noise import PoseNoise
from hgg_pyg.mending import folder as writing_folder
from hgg_pyg.mending.config import MendConfig
from hgg_pyg.mending.folder import write_mended
from hgg_pyg.mending.run import mend
from hgg_pyg.mending.subject import Mended
from hgg_pyg.refine.cameras import Placed
from hgg_pyg.refine.figure import moved_viewmats
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.layouts.base import write_json
from hgg_pyg.types import BodyPose, UserError
from tests.captures import make_captures

OPTIONS = {"direct": True, "frames": 3, "image_size": 64, "steps": 50, "seconds": 1e3, "seconds_per_frame": 1e3}


def poses_in(data: Path, subject: str, body: BodyModel) -> BodyPose:
    found = find_subjects(data)[subject]
    return found.layout.read(found.folder, body).poses.poses


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("truth") / "captures"
    data = make_captures(SynthesizeConfig(out=out, subjects=3, frames=5, views=5, size=64, clothes="bodysuit"))
    shutil.rmtree(data / "subject002")
    write_json(data / "splits.json", {"train": ["subject000"], "val": [], "test": ["subject001"]})
    return data


@pytest.fixture(scope="module")
def noisy(truth, body, tmp_path_factory) -> Path:
    """The same with white noise of 3 degrees and 1 cm, and no number in one subject's last pose."""
    data = Path(shutil.copytree(truth, tmp_path_factory.mktemp("noisy") / "captures"))
    for i, (name, subject) in enumerate(find_subjects(data).items()):
        table = subject.layout.read(subject.folder, body).poses
        poses = PoseNoise(white=3)(table.poses, np.random.default_rng(i))
        if i:
            poses.transl[-1] = torch.nan
        files = subject.layout.rewrite(subject.folder, body, PoseTable(table.kind, table.numbers, poses))
        for path, content in files.items():
            (data / name / path).write_bytes(content)
    return data


@pytest.fixture(scope="module")
def mended(noisy, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mended") / "out"
    assert mend(MendConfig(capture=noisy, out=out, **OPTIONS)) == 0
    return out


def test_mended_joints_are_nearer_the_truth(truth, noisy, mended, body) -> None:
    for name in ("subject000", "subject001"):
        places = [body.posed_joints(poses_in(data, name, body)) for data in (truth, noisy, mended)]
        before, after = ((part - places[0])[:4].norm(dim=-1).mean() for part in places[1:])
        assert after < 0.85 * before


def test_all_but_the_poses_is_the_same(noisy, mended) -> None:
    assert (mended / "splits.json").read_bytes() == (noisy / "splits.json").read_bytes()
    for path in noisy.rglob("*.*"):
        copy = mended / path.relative_to(noisy)
        if path.name != "smpl_params.npz":
            assert copy.read_bytes() == path.read_bytes()
        assert (copy.stat().st_ino == path.stat().st_ino) == (path.suffix == ".jpg")
    assert (mended / "report" / "subject000.png").is_file()
    record = json.loads((mended / "subject001" / "refine.json").read_text())
    assert "NaN" in record["left out"][0]
    assert record["numbers"]["mended"] + len(record["frames that keep their poses"]) == 4


def test_what_is_done_is_passed_by_and_other_options_are_refused(noisy, mended, capsys, tmp_path) -> None:
    config = MendConfig(capture=noisy, out=mended, subject="subject000", **OPTIONS)
    mend(config)
    assert "already done" in capsys.readouterr().out
    with pytest.raises(UserError, match="mended with other options: steps: expected 50, found 51"):
        mend(replace(config, steps=51))
    (tmp_path / "subject000").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report").touch()
    with pytest.raises(UserError, match="expected nothing, or what an earlier run mended"):
        mend(replace(config, out=tmp_path))
    for out in (noisy / "subject000", noisy):
        with pytest.raises(UserError, match="expected a folder outside of the captures"):
            mend(replace(config, capture=noisy / "subject000", subject=None, out=out))
    named = shutil.copytree(noisy / "subject000", tmp_path / "report")
    with pytest.raises(UserError, match="expected another name than report"):
        mend(replace(config, capture=named, subject=None, out=tmp_path / "out"))
    with pytest.raises(UserError, match="report: expected nothing, or a folder for pictures, found a file"):
        mend(replace(config, out=tmp_path / "other"))


def test_nothing_is_left_of_what_was_interrupted(noisy, tmp_path, monkeypatch) -> None:
    """Killed while it writes: no folder, no part of one; the next run makes it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    config = MendConfig(capture=noisy / "subject000", out=tmp_path / "out", **(OPTIONS | {"steps": 1}))
    with monkeypatch.context() as patch:
        patch.setattr(writing_folder, "_place", stop)
        with pytest.raises(KeyboardInterrupt):
            mend(config)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report"]
    mend(config)
    assert (tmp_path / "out" / "subject000" / "smpl_params.npz").is_file()


def test_a_subject_that_cannot_be_opened_is_named_and_the_others_are_mended(noisy, tmp_path, said) -> None:
    data = Path(shutil.copytree(noisy, tmp_path / "data"))
    (data / "subject000" / "smpl_params.npz").write_bytes(b"")
    out = tmp_path / "out"
    assert mend(MendConfig(capture=data, out=out, **(OPTIONS | {"steps": 1}))) == 1
    assert sorted(path.name for path in out.iterdir()) == ["report", "subject001"]
    assert "left out" in said.text
    assert "splits.json, synthetic.json: not copied yet: 1 of the subjects" in said.text


def test_cameras_that_were_put_right_are_written_by_their_names(noisy, body, tmp_path) -> None:
    """Those that were looked through and those that were not, each into its own entry; other cameras stay."""
    subject = find_subjects(noisy)["subject000"]
    capture = make_capture(subject.folder, subject.layout, body, 64, False)
    source = FrameSource(capture, (0, 2), make_backbone(BackboneConfig(), torch.device("cpu")), body, tmp_path)
    changes = torch.zeros(5, 6)
    changes[3] = torch.tensor([1.0, -2, 0.5, 0.01, 0.02, -0.03])
    viewmats = moved_viewmats(capture.cameras.viewmats, changes)
    frames, still = (1, 3), (0.0,) * 5
    poses = replace(capture.poses[list(frames)], transl=capture.poses.transl[list(frames)] + 0.01)
    placed = Placed(frames, viewmats, poses, True, still, still, (2.0, 1.0))
    mended = Mended(source, placed.applied(capture).poses, frames, (), True, placed)
    out = tmp_path / "out"
    write_mended(out, subject, mended, MendConfig(capture=noisy, out=tmp_path, **OPTIONS), {})
    found = make_capture(out, subject.layout, body, 64, False)
    torch.testing.assert_close(found.cameras.viewmats, viewmats, atol=1e-6, rtol=0)
    assert torch.equal(found.cameras.viewmats[[0, 1, 2, 4]], capture.cameras.viewmats[[0, 1, 2, 4]])
    moved = found.poses.transl - capture.poses.transl
    torch.testing.assert_close(moved[:, 0], torch.tensor([0, 0.01, 0, 0.01, 0]), atol=1e-6, rtol=0)
