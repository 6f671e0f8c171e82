"""PeopleSnapshot, NeuMan and ZJU-MoCap of one camera: the same person as in our own layout, and mistakes."""

from __future__ import annotations

import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.data import open_captures
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.layouts import people_snapshot
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.capture_writer import write_subject
from hgg_pyg.synthetic.config import LayoutName
from hgg_pyg.types import BodyPose, UserError
from tests.prepare.films import write_video
from tests.silhouettes import in_cameras, silhouette_overlaps

FRAMES, SIZE = 4, 64
MONOCULAR: tuple[LayoutName, ...] = ("people_snapshot", "neuman", "zju_mocap")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Callable[[LayoutName], Path]:
    """The folder of one person, seen by one camera; made once for each layout."""
    made: dict[LayoutName, Path] = {}

    def get(layout: LayoutName) -> Path:
        if layout not in made:
            config = SynthesizeConfig(
                tmp_path_factory.mktemp(layout), 3, FRAMES, views=1, size=SIZE, layout=layout, clothes="bodysuit"
            )
            write_subject(config, 0, load_body(), lambda count: None)
            (made[layout],) = (subject.folder for subject in find_subjects(config.out).values())
        return made[layout]

    return get


@pytest.fixture
def snapshot(written, tmp_path) -> Path:
    """A copy of a subject of PeopleSnapshot, to be damaged."""
    return shutil.copytree(written("people_snapshot"), tmp_path / "female-1-casual")


def open_one(folder: Path, body: BodyModel) -> Capture:
    return open_captures(folder, body=body).train[0]


def projected(capture: Capture, body: BodyModel) -> np.ndarray:
    """The body's vertices in the images of the only camera, without its lens. [F, N, 2]"""
    seen = in_cameras(capture, body)[:, 0] @ capture.cameras.Ks[0].double().numpy().T
    return seen[..., :2] / seen[..., 2:]


@pytest.mark.parametrize("layout", MONOCULAR)
def test_the_same_person_as_in_our_own_layout(layout, written, body):
    ours, capture = open_one(written("avatarrex"), body), open_one(written(layout), body)
    assert capture.frames == ours.frames == tuple(range(FRAMES))
    assert (len(capture.camera_names), capture.left_out) == (1, ())
    still = slice(0, 1 if layout == "neuman" else FRAMES)  # NeuMan's camera moves from there
    np.testing.assert_allclose(in_cameras(capture, body)[still], in_cameras(ours, body)[still], atol=1e-4)
    shapes = [posed - posed.mean(1, keepdims=True) for posed in (in_cameras(c, body)[:, 0] for c in (capture, ours))]
    for one, other in zip(*shapes, strict=True):  # the same but for a rotation, and as large
        assert Rotation.align_vectors(one, other)[1] / np.sqrt(len(one)) < 1e-4
    assert silhouette_overlaps(capture, body).mean() > silhouette_overlaps(ours, body).mean() - 0.01
    colours = [one.image(2, 0)[one.mask(2, 0) > 0.9].mean(0) for one in (capture, ours)]
    np.testing.assert_allclose(*colours, atol=0.04)  # colours of a video run at the edges of so small a person


def test_snapshot_projects_as_its_files_say(written, body):
    folder = written("people_snapshot")
    camera = pickle.loads((folder / "camera.pkl").read_bytes())
    with h5py.File(folder / "reconstructed_poses.hdf5") as file:
        pose, trans, betas = (torch.tensor(np.asarray(file[key])) for key in ("pose", "trans", "betas"))
    assert (pose.shape, trans.shape, betas.shape) == ((FRAMES + 1, 72), (FRAMES + 1, 3), (10,))
    poses = BodyPose(betas, pose[:FRAMES, :3], pose[:FRAMES, 3:], trans[:FRAMES])
    points = body.pose(poses).vertices.double().numpy()
    points = points @ Rotation.from_rotvec(camera["camera_rt"]).as_matrix().T + camera["camera_t"]
    expected = points[..., :2] / points[..., 2:] * camera["camera_f"] + camera["camera_c"]
    capture = open_one(folder, body)
    np.testing.assert_allclose(projected(capture, body), expected, atol=0.01)
    assert capture.lenses is not None
    np.testing.assert_array_equal(capture.lenses[0].distortion, camera["camera_k"])
    with h5py.File(folder / "masks.hdf5") as file:
        assert file["masks"].shape == (FRAMES, SIZE, SIZE)  # pyright: ignore[reportAttributeAccessIssue]


def test_videos_are_decoded_once_and_folders_stay_as_they_are(snapshot, body, monkeypatch, tmp_path):
    monkeypatch.setenv("HGG_CACHE", str(tmp_path / "cache"))
    before = {path.name: path.stat().st_mtime_ns for path in snapshot.iterdir()}
    first = open_one(snapshot, body)
    shutil.copytree(snapshot, tmp_path / "copy")
    monkeypatch.setattr(people_snapshot, "frames_at", None)  # asked for, it would end the test
    assert open_one(snapshot, body).digest == first.digest
    assert open_one(tmp_path / "copy", body).images == first.images
    assert {path.name: path.stat().st_mtime_ns for path in snapshot.iterdir()} == before
    assert len(list((tmp_path / "cache" / "decoded").iterdir())) == 2


class _Python2(pickle._Pickler):
    """What Python 2 wrote: bytes and names are strings without an encoding."""

    def _string(self: Any, text: str | bytes) -> None:
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)

    dispatch: ClassVar[Any] = {**pickle._Pickler.dispatch, str: _string, bytes: _string}


def test_pickles_of_python_2(snapshot, body):
    before = open_one(snapshot, body)
    path = snapshot / "camera.pkl"
    camera = pickle.loads(path.read_bytes())
    with path.open("wb") as file:
        _Python2(file, protocol=2).dump(camera)
    assert pickle.loads(path.read_bytes(), encoding="bytes").keys() == {key.encode() for key in camera}
    assert torch.equal(open_one(snapshot, body).cameras.Ks, before.cameras.Ks)


class _Harm:
    def __reduce__(self) -> Any:
        return print, ("harm",)


def _camera(**changes: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        content = pickle.loads((folder / "camera.pkl").read_bytes()) | changes
        content = {key: value for key, value in content.items() if value is not None}
        (folder / "camera.pkl").write_bytes(pickle.dumps(content, 2))

    return edit


def _array(name: str, key: str, change: Callable[[np.ndarray], Any]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            values = change(np.asarray(file[key]))
            del file[key]
            if values is not None:
                file[key] = values

    return edit


def _cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:700])


MP4, MASKS, POSES = "female-1-casual.mp4", "masks.hdf5", "reconstructed_poses.hdf5"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no camera": (lambda f: (f / "camera.pkl").unlink(), r"camera\.pkl: expected a camera as .* found nothing"),
    "forbidden": (_camera(camera_f=_Harm()), r"camera\.pkl: refused: __builtin__\.print is not something a camera"),
    "no dictionary": (lambda f: (f / "camera.pkl").write_bytes(pickle.dumps([1])), r"expected a dictionary with"),
    "no focal length": (_camera(camera_f=None), r"camera\.pkl: key 'camera_f' is missing; found camera_c"),
    "f of three": (_camera(camera_f=np.ones(3)), r"key 'camera_f': expected 2 numbers, found 3"),
    "f negative": (_camera(camera_f=-np.ones(2)), r"key 'camera_f, camera_c': expected .* with fx, fy > 0"),
    "k of three": (_camera(camera_k=np.ones(3)), r"key 'distCoeff': expected 0, 4 or 5 numbers"),
    "t with NaN": (_camera(camera_t=np.full(3, np.nan)), r"key 'camera_t': expected finite numbers"),
    "other shape": (_camera(width=200), r"calibrated for 200x64 pixels; expected images of that shape, found 64x64"),
    "no video": (lambda f: (f / MP4).unlink(), r"expected female-1-casual\.mp4, or one \.mp4, found none"),
    "no film": (lambda f: (f / MP4).write_bytes(b"no film"), r"mp4: expected a video, found what cannot be opened"),
    "no masks": (lambda f: (f / MASKS).unlink(), r"masks\.hdf5: expected an HDF5 file of masks, found nothing"),
    "masks cut off": (_cut(MASKS), r"masks\.hdf5: expected an HDF5 file of masks, found something unreadable"),
    "masks of other size": (_array(MASKS, "masks", lambda m: m[:, :, 1:]), r"expected shape \(N, 64, 64\) like .*mp4"),
    "flat masks": (_array(MASKS, "masks", lambda m: m[0]), r"key 'masks': expected 3 dimensions, found shape"),
    "masks of text": (_array(MASKS, "masks", lambda m: "text"), r"key 'masks': expected numbers, found object"),
    "linked masks": (
        _array(MASKS, "masks", lambda m: h5py.ExternalLink("/etc/other.hdf5", "/masks")),
        r"key 'masks': expected an array in this file, found a link",
    ),
    "no poses": (lambda f: (f / POSES).unlink(), r"poses\.hdf5: expected an HDF5 file of poses, found nothing"),
    "no pose": (_array(POSES, "pose", lambda p: None), r"key 'pose' is missing; found betas, trans"),
    "poses of 69": (_array(POSES, "pose", lambda p: p[:, 3:]), r"key 'pose': expected shape \(N, 72\), found \(5, 6"),
    "too few trans": (_array(POSES, "trans", lambda t: t[1:]), r"'trans': expected shape \(5, 3\), found \(4, 3\)"),
    "all zero": (
        lambda f: (_array(POSES, "pose", np.zeros_like)(f), _array(POSES, "trans", np.zeros_like)(f)),
        r"key 'pose': expected a pose of some frame, found 5 rows of zeros",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BROKEN)
def test_mistakes_in_a_snapshot_are_one_line(mistake, snapshot, body, capfd):
    edit, message = BROKEN[mistake]
    edit(snapshot)
    with pytest.raises(UserError, match=message) as caught:
        open_one(snapshot, body)
    assert str(caught.value).startswith(str(snapshot))
    assert "\n" not in str(caught.value)
    assert "harm" not in capfd.readouterr().out


def test_a_video_shorter_than_the_poses(snapshot, body):
    write_video(snapshot / MP4, [np.full((SIZE, SIZE, 3), 90, np.uint8)] * 2)
    capture = open_one(snapshot, body)
    assert capture.frames == (0, 1)
    assert [(item.names, item.reason) for item in capture.left_out] == [(("2", "3"), f"{MP4} ends after 2 images")]


def test_masks_and_poses_of_fewer_frames(snapshot, body):
    _array(MASKS, "masks", lambda masks: masks[:3])(snapshot)
    _array(POSES, "pose", lambda pose: np.where(np.arange(5)[:, None] == 0, np.nan, pose))(snapshot)
    capture = open_one(snapshot, body)
    assert capture.frames == (1, 2)
    assert {item.reason.split(",")[0]: item.names for item in capture.left_out} == {
        "a mask is missing": ("3",), "NaN or Inf in the pose": ("0",)
    }  # fmt: skip


@pytest.mark.parametrize("module", ["av", "h5py"])
def test_missing_extras_are_named(module, snapshot, body, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'which is not installed: pip install "hgg_pyg\[snapshot\]"'):
        open_one(snapshot, body)
