"""NeuMan: a moving camera taken for the world, masks of which black is the person, HUGS's files, mistakes in a line."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.data import open_captures
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.layouts.base import PoseTable
from hgg_pyg.data.layouts.neuman import NEUMAN
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.capture_writer import write_subject
from hgg_pyg.types import BodyPose, UserError
from tests.silhouettes import silhouette_overlaps

FRAMES, HEIGHT, WIDTH = 4, 48, 85
FIT, HUGS = "smpl_output_optimized.pkl", "4d_humans/smpl_optimized_aligned_scale.npz"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    config = SynthesizeConfig(tmp_path_factory.mktemp("neuman"), 3, FRAMES, size=HEIGHT, layout="neuman")
    write_subject(replace(config, clothes="bodysuit"), 0, load_body(), lambda count: None)
    return config.out / "bike"


@pytest.fixture
def subject(written, tmp_path) -> Path:
    return shutil.copytree(written, tmp_path / "bike")


def open_one(folder: Path, body: BodyModel) -> Capture:
    return open_captures(folder, body=body).train[0]


def by_hand(folder: Path, body: BodyModel) -> np.ndarray:
    """Pixels of the body's vertices as the data set's files say, and nothing of ours but LBS. [F, N, 2]"""
    fx, fy, cx, cy = map(float, (folder / "sparse" / "cameras.txt").read_text().splitlines()[1].split()[4:])
    lines = [line.split() for line in (folder / "sparse" / "images.txt").read_text().splitlines() if line[:1].isdigit()]
    (person,) = pickle.loads((folder / FIT).read_bytes()).values()
    alignments = np.load(folder / "alignments.npy", allow_pickle=True).item()
    pixels = []
    for _, w, x, y, z, *T, _, name in lines:
        pose = torch.tensor(person["pose"][int(name[:5])])[None]
        still = BodyPose(torch.tensor(person["betas"][0]), pose[:, :3], pose[:, 3:], torch.zeros(1, 3))
        points = body.pose(still).vertices[0].double().numpy()
        world = np.c_[points, np.ones(len(points))] @ alignments[name]
        X, Y, Z = (world @ Rotation.from_quat(np.array([x, y, z, w], float)).as_matrix().T + np.array(T, float)).T
        pixels.append(np.stack([fx * X / Z + cx, fy * Y / Z + cy], 1))
    return np.stack(pixels)


def ours(capture: Capture, body: BodyModel) -> np.ndarray:
    """The same, of a capture."""
    assert torch.equal(capture.cameras.viewmats[0], torch.eye(4))
    seen = body.pose(capture.poses).vertices.double().numpy() @ capture.cameras.Ks[0].double().numpy().T
    return seen[..., :2] / seen[..., 2:]


def test_points_are_seen_where_the_files_say(subject, body):
    capture = open_one(subject, body)
    assert (capture.layout, capture.frames, capture.left_out) == ("NeuMan", (0, 1, 2, 3), ())
    assert capture.size() == (WIDTH, HEIGHT)
    expected = by_hand(subject, body)
    assert np.abs(np.diff(expected, axis=0)).max() > 3  # it moves
    np.testing.assert_allclose(ours(capture, body), expected, atol=0.01)


def test_black_is_the_person_and_outside_is_nobody(subject, body):
    capture = open_one(subject, body)
    assert capture.masks.inverted
    assert 0.02 < capture.mask(0, 0).mean() < 0.3
    cropped = open_captures(subject, 64, body, crop=True).train[0]
    assert cropped.windows is not None
    beyond = replace(cropped, windows=np.subtract(cropped.windows, [200.0, 0, 0]))  # squares past the image's edge
    assert beyond.mask(1, 0)[:, 0].max() == 0


def test_masks_the_other_way_round_and_of_zero_and_one(subject, body):
    before = open_one(subject, body)
    mask = before.mask(2, 0)
    for path in (subject / "segmentations").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    flipped = open_one(subject, body)
    assert not flipped.masks.inverted
    np.testing.assert_array_equal(flipped.mask(2, 0), mask)
    assert flipped.digest != before.digest
    for path in (subject / "segmentations").iterdir():
        Image.fromarray(1 - np.asarray(Image.open(path)) // 255).save(path)
    np.testing.assert_array_equal(open_one(subject, body).mask(2, 0), mask)


def add_hugs(folder: Path, body: BodyModel) -> None:
    """The same bodies as scale LBS + transl in COLMAP's world."""
    (person,) = pickle.loads((folder / FIT).read_bytes()).values()
    rows: dict[str, list[Any]] = {key: [] for key in ("global_orient", "body_pose", "betas", "transl", "scale")}
    for name, matrix in np.load(folder / "alignments.npy", allow_pickle=True).item().items():
        pose, betas = (person[key][int(name[:5])] for key in ("pose", "betas"))
        pelvis = body.rest_joints(torch.tensor(betas))[0].double().numpy()
        scale = np.linalg.norm(matrix[0])
        turn = Rotation.from_matrix(matrix[:3].T / scale)
        rows["global_orient"].append((turn * Rotation.from_rotvec(pose[:3])).as_rotvec())
        rows["body_pose"].append(pose[3:])
        rows["betas"].append(betas)
        rows["scale"].append(scale)
        rows["transl"].append(matrix[3] + scale * (turn.apply(pelvis) - pelvis))
    (folder / "4d_humans").mkdir()
    arrays: Any = {key: np.array(values, np.float64) for key, values in rows.items()}
    np.savez(folder / HUGS, **arrays)


def test_hugs_files(subject, body):
    before = open_one(subject, body)
    add_hugs(subject, body)
    (subject / FIT).unlink()
    (subject / "alignments.npy").unlink()
    masks = shutil.copytree(subject / "segmentations", subject / "4d_humans" / "sam_segmentations")
    for path in masks.iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    capture = open_one(subject, body)
    np.testing.assert_allclose(ours(capture, body), ours(before, body), atol=0.01)
    assert capture.masks.folders == (masks,)
    np.testing.assert_array_equal(capture.mask(2, 0), before.mask(2, 0))
    assert silhouette_overlaps(capture, body).mean() > 0.85


@pytest.mark.parametrize("hugs", [False, True])
def test_other_poses_are_read_again_as_they_were_meant(hugs, subject, body):
    if hugs:
        add_hugs(subject, body)
    before = NEUMAN.read(subject, body).poses
    assert NEUMAN.rewrite(subject, body, before) == {}
    generator = torch.Generator().manual_seed(0)
    moved = [part + 0.1 * torch.randn(part.shape, generator=generator) for part in
             (before.poses.global_orient, before.poses.body_pose, before.poses.transl)]  # fmt: skip
    for rows, betas in (([2], before.poses.betas), (list(range(FRAMES)), before.poses.betas + 0.2)):
        changed = before.poses.put(rows, replace(BodyPose(betas, *moved)[rows], betas=betas))
        files = NEUMAN.rewrite(subject, body, PoseTable("smpl", before.numbers, changed))
        assert set(files) == ({HUGS} if hugs else {FIT, "alignments.npy"})
        for name, content in files.items():
            (subject / name).write_bytes(content)
        found = NEUMAN.read(subject, body).poses.poses
        torch.testing.assert_close(found.betas, betas, atol=1e-6, rtol=0)
        posed = [body.pose(poses).vertices for poses in (found, changed)]
        torch.testing.assert_close(*posed, atol=2e-5, rtol=0)


def test_images_that_colmap_did_not_place(subject, body):
    path = subject / "sparse" / "images.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3] + lines[5:]))
    capture = open_one(subject, body)
    assert capture.frames == (0, 2, 3)
    assert [(item.names, item.reason) for item in capture.left_out] == [(("1",), "not in sparse/images.txt")]


def _text(part: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        path = folder / "sparse" / f"{part}.txt"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return edit


def _fit(change: Callable[[Any], Any]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        content = pickle.loads((folder / FIT).read_bytes())
        (folder / FIT).write_bytes(pickle.dumps(change(content) or content))

    return edit


def _align(change: Callable[[Any], Any]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        content = np.load(folder / "alignments.npy", allow_pickle=True).item()
        np.save(folder / "alignments.npy", change(content) or content, allow_pickle=True)

    return edit


class _Harm:
    def __reduce__(self) -> Any:
        return print, ("harm",)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no cameras": (lambda f: (f / "sparse" / "cameras.txt").unlink(), r"cameras\.txt: expected COLMAP's text, found n"),
    "binary": (lambda f: (f / "sparse/images.txt").rename(f / "sparse/images.bin"), "model_converter --output_type"),
    "fisheye": (_text("cameras", "PINHOLE", "FOV"), r"expected a lens of OpenCV's .* found FOV"),
    "two cameras": (_text("images", " 1 00001.png", " 2 00001.png"), "expected images of one camera, found the camer"),
    "unknown camera": (_text("cameras", "1 PIN", "7 PIN"), r"expected a camera of cameras\.txt \(7\), found 1"),
    "odd name": (_text("images", "00001.png", "one.png"), r"expected a name with a number of its own, .* found one"),
    "no poses": (lambda f: (f / FIT).unlink(), rf"{FIT}: expected a file of SMPL's poses .* found nothing"),
    "forbidden": (_fit(lambda c: {1: _Harm()}), rf"{FIT}: refused: builtins\.print is not something a file of SMPL's"),
    "two people": (_fit(lambda c: {**c, 2: c[1]}), r"expected \{1: \{pose, betas\}\}, found dict with 2 entries"),
    "no betas": (_fit(lambda c: c[1].pop("betas") and None), "key 'betas' is missing; found pose"),
    "poses of 69": (_fit(lambda c: c[1].update(pose=[p[3:] for p in c[1]["pose"]])), r"expected shape \(F, 72\)"),
    "uneven": (_fit(lambda c: c[1]["pose"].__setitem__(1, [1.0])), "key 'pose': expected a row of numbers for each"),
    "fewer betas": (_fit(lambda c: c[1].update(betas=c[1]["betas"][1:])), "'betas': expected 4 rows like 'pose'"),
    "compressed": (lambda f: (f / FIT).write_bytes(b"x\x9cabc"), "found it compressed: write it anew with joblib"),
    "no alignments": (lambda f: (f / "alignments.npy").unlink(), r"alignments\.npy: expected a dictionary .* found"),
    "other names": (_align(lambda c: {"a.png": 1}), "expected a row and an alignment for images such as 00000.png"),
    "3x3": (_align(lambda c: c.update({"00001.png": np.eye(3)})), "00001.png': expected a 4x3 matrix, found"),
    "sheared": (
        _align(lambda c: c["00001.png"].__setitem__(0, [9.0, 0, 0])),
        "key '00001.png': expected a rotation times a scale, found",
    ),
    "NaN": (_align(lambda c: c["00001.png"].__setitem__(0, np.nan)), "key '00001.png': expected finite numbers"),
    "no masks": (lambda f: shutil.rmtree(f / "segmentations"), "no masks"),
    "no images": (lambda f: shutil.rmtree(f / "images"), "no images"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BROKEN)
def test_mistakes_are_one_line(mistake, subject, body, capfd):
    edit, message = BROKEN[mistake]
    edit(subject)
    with pytest.raises(UserError, match=message) as caught:
        open_one(subject, body)
    assert str(caught.value).startswith(str(subject))
    assert "\n" not in str(caught.value)
    assert "harm" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("scale", lambda a: a[:3], r"key 'scale': expected shape \(4, \.\.\.\), a row for each image"),
        ("scale", lambda a: -a, "key 'scale': expected numbers above zero"),
        ("body_pose", lambda a: a[:, 3:], r"key 'body_pose': expected shape \(4, 69\)"),
        ("transl", lambda a: a.astype(str), "key 'transl': expected numbers, found <U"),
    ],
)
def test_mistakes_in_hugs_file(key, change, message, subject, body):
    add_hugs(subject, body)
    arrays = dict(np.load(subject / HUGS))
    np.savez(subject / HUGS, **{**arrays, key: change(arrays[key])})
    with pytest.raises(UserError, match=message):
        open_one(subject, body)
