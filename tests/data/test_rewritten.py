"""Poses written back in every layout: what is read again are the new poses, and what is no pose is the same bytes."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hgg_pyg.body import load_body
from hgg_pyg.body.carried import carry
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.data.capture_set import SubjectFolder, find_subjects
from hgg_pyg.data.layouts.base import PoseTable
from hgg_pyg.data.smpl_params import read_smpl_params
from hgg_pyg.data.smpl_params_rewritten import rewrite_smpl_params
from hgg_pyg.refine.figure import moved_viewmats
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.capture_writer import write_subject
from hgg_pyg.synthetic.config import LayoutName
from hgg_pyg.types import BodyPose

LAYOUTS: tuple[LayoutName, ...] = (
    "avatarrex",
    "thuman4",
    "mvhumannet_48",
    "mvhumannet_pp",
    "zju_mocap_313",
    "people_snapshot",
)
OF_ONE_CAMERA = ("people_snapshot",)  # which nothing tells from the person
HANDS = slice(72, 162)  # of SMPL-X's joints but the root


def subject_in(out: Path, layout: LayoutName) -> SubjectFolder:
    config = SynthesizeConfig(out=out, subjects=3, frames=4, views=2, size=32, layout=layout, clothes="bodysuit")
    write_subject(config, 0, load_body(), lambda count: None)
    return next(iter(find_subjects(out).values()))


def off(poses: BodyPose, rows: list[int], shape: float = 0.0) -> BodyPose:
    """Other poses in some rows; fingers, of which files have components only, stay."""
    rng = np.random.default_rng(3)
    joints = torch.from_numpy(rng.normal(0, 0.1, tuple(poses.body_pose.shape))).float()
    joints[:, HANDS] = 0 if joints.shape[1] > 69 else joints[:, HANDS]
    noisy = replace(
        poses,
        global_orient=poses.global_orient + torch.from_numpy(rng.normal(0, 0.1, (len(poses), 3))).float(),
        body_pose=poses.body_pose + joints,
        transl=poses.transl + torch.from_numpy(rng.normal(0, 0.05, (len(poses), 3))).float(),
    )
    return poses.put(rows, replace(noisy[rows], betas=poses.betas + shape))


def assert_same(found: BodyPose, wanted: BodyPose) -> None:
    torch.testing.assert_close(found.betas, wanted.betas, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.transl, wanted.transl, atol=1e-6, rtol=0)
    pairs = [torch.cat([pose.global_orient, pose.body_pose], 1).double().view(-1, 3) for pose in (found, wanted)]
    torch.testing.assert_close(*map(rotation_matrices, pairs), atol=1e-6, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_poses_are_read_again_as_they_were_meant(layout: LayoutName, tmp_path: Path) -> None:
    subject = subject_in(tmp_path / "data", layout)
    for kind in subject.kinds:
        body = load_body(None, (kind,))
        before = subject.layout.read(subject.folder, body).poses
        for name, content in subject.layout.rewrite(subject.folder, body, before).items():
            assert content == (subject.folder / name).read_bytes()
        for rows, shape in (([1], 0.0), (list(range(len(before.numbers))), 0.3)):
            wanted = off(before.poses, rows, shape)
            files = subject.layout.rewrite(subject.folder, body, PoseTable(before.kind, before.numbers, wanted))
            copy = shutil.copytree(subject.folder, tmp_path / f"{kind} {shape}" / subject.folder.name)
            for name, content in files.items():
                assert (copy / name).is_file()
                (copy / name).write_bytes(content)
            found = subject.layout.read(copy, body).poses
            assert found.numbers == before.numbers
            assert_same(found.poses, wanted)
            if not shape:
                assert torch.equal(found.poses.body_pose[0], before.poses.body_pose[0])


def test_what_follows_from_a_pose_moves_along(tmp_path: Path) -> None:
    """MVHumanNet's vertices and joints, ZJU-MoCap's vertices: in the files they are those of the new pose."""
    body = load_body()
    for layout, folder in (("mvhumannet_48", "smpl_param"), ("zju_mocap", "vertices")):
        subject = subject_in(tmp_path / layout, layout)
        before = subject.layout.read(subject.folder, body).poses
        wanted = off(before.poses, [1], 0.2)
        files = subject.layout.rewrite(subject.folder, body, PoseTable(before.kind, before.numbers, wanted))
        name = sorted(name for name in files if name.startswith(folder))[1]
        posed = body.pose(wanted[[1]]).vertices[0]
        if layout == "zju_mocap":
            path = tmp_path / "vertices.npy"
            path.write_bytes(files[name])
            torch.testing.assert_close(torch.from_numpy(np.load(path)), posed, atol=1e-5, rtol=0)
            continue
        content = pickle.loads(files[name])
        old = pickle.loads((subject.folder / name).read_bytes())
        torch.testing.assert_close(content["vertices"][0], posed, atol=1e-5, rtol=0)
        landmarks = np.linspace(0, body.num_vertices - 1, 21).astype(int)
        torch.testing.assert_close(content["joints"][0, 24:], posed[landmarks], atol=1e-5, rtol=0)
        assert content["transl"] is None
        assert (content["faces"] == old["faces"]).all()


def test_other_entries_of_an_archive_keep_their_bytes(tmp_path: Path) -> None:
    """Among them what only unpickling could read, which nobody does."""
    body, rng, path = load_body(), np.random.default_rng(0), tmp_path / "smpl_params.npz"
    arrays = {"global_orient": rng.normal(size=(3, 3)), "body_pose": rng.normal(size=(3, 69))}
    arrays["global_orient"][2] = np.nan
    other = np.array([{"a": 1}], dtype=object)
    np.savez(path, betas=np.zeros((3, 10)), transl=np.full((3, 3), 4e6), note=other, **arrays)
    origin = (4e6, 4e6, 4e6)
    _, poses = read_smpl_params(path, body, origin)
    table = PoseTable("smpl", (0, 1, 2), off(poses, [1], 0.1))
    copy = tmp_path / "copy.npz"
    copy.write_bytes(rewrite_smpl_params(path, body, table, origin))
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy) as new:
        assert new.namelist() == old.namelist()
        assert new.read("note.npy") == old.read("note.npy")
    _, found = read_smpl_params(copy, body, origin)
    assert_same(found[[0, 1]], table.poses[[0, 1]])
    with np.load(copy) as written:
        assert np.isnan(written["global_orient"][2]).all()
        assert written["betas"].shape == (3, 10)
        assert (written["body_pose"][0] == arrays["body_pose"][0]).all()


def test_a_smplx_json_keeps_its_form_and_its_other_keys(tmp_path: Path) -> None:
    subject = subject_in(tmp_path, "mvhumannet_16")
    body = load_body(None, ("open-smplx",))
    before = subject.layout.read(subject.folder, body).poses
    after = PoseTable(before.kind, before.numbers, off(before.poses, [2]))
    ((name, content),) = subject.layout.rewrite(subject.folder, body, after).items()
    (old,), (new,) = json.loads((subject.folder / name).read_text()), json.loads(content)
    assert old.keys() == new.keys()
    assert (old["id"], old["expression"]) == (new["id"], new["expression"])
    assert np.shape(new["poses"]) == np.shape(old["poses"]) == (1, 87)


def test_points_move_with_the_skin(make_pose) -> None:
    body, poses = load_body(), make_pose(2)
    before, after = poses[[0]], replace(poses[[1]], betas=poses.betas + 0.5)
    posed = [body.pose(pose).vertices[0] for pose in (before, after)]
    torch.testing.assert_close(carry(posed[0], body, before, after), posed[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout not in OF_ONE_CAMERA])
def test_cameras_in_other_places_are_read_again_as_they_were_meant(layout: LayoutName, tmp_path: Path) -> None:
    subject = subject_in(tmp_path, layout)
    body = load_body(None, ("open-smplx" if layout in ("thuman4", "mvhumannet_pp") else "open",))
    before = subject.layout.read(subject.folder, body)
    changes = torch.tensor([[0.5, -0.3, 0.2, 0.01, -0.02, 0.03], [0.0] * 6])
    viewmats = np.tile(np.eye(4), (2, 1, 1))
    viewmats[:, :3, :3], viewmats[:, :3, 3] = before.calibration.R, before.calibration.T
    wanted = before.calibration.placed(moved_viewmats(torch.from_numpy(viewmats), changes.double()).numpy())
    assert subject.layout.rewrite_cameras is not None
    files = subject.layout.rewrite_cameras(subject.folder, wanted)
    for name, content in files.items():
        (subject.folder / name).write_bytes(content)
    after = subject.layout.read(subject.folder, body)
    for field, atol in (("R", 1e-7), ("T", 1e-6), ("K", 0), ("distortion", 0)):
        found, meant = (getattr(calibration, field) for calibration in (after.calibration, wanted))
        np.testing.assert_allclose(found, meant, atol=atol, rtol=0)
    torch.testing.assert_close(after.poses.poses.transl, before.poses.poses.transl, atol=0, rtol=0)
