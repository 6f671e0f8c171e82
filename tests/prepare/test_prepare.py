"""The whole command on videos of a synthetic person: interrupted, repeated, with other options, with wrong input."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hgg_pyg.body import load_body
from hgg_pyg.prepare import finding
from hgg_pyg.prepare.__main__ import main
from hgg_pyg.prepare.calibrations.person_frame import stature
from hgg_pyg.prepare.config import PrepareConfig
from hgg_pyg.prepare.fit import FitConfig
from hgg_pyg.prepare.pipeline import prepare
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.types import UserError
from tests.captures import make_captures
from tests.prepare.films import counting, write_video
from tests.prepare.stand_in import LANDMARKS, StandIn, film_capture, open_capture, true_landmarks

FIT = FitConfig(steps=150, mask_steps=0)
SHORT = FitConfig(steps=10, mask_steps=0)


@pytest.fixture(scope="module")
def person(tmp_path_factory):
    """Six frames of somebody in tight clothes from four cameras; two frames a second, so that nobody is a sprinter."""
    out = tmp_path_factory.mktemp("someone") / "captures"
    make_captures(SynthesizeConfig(out=out, subjects=3, frames=6, views=4, size=96, clothes="bodysuit"))
    return out / "subject000"


@pytest.fixture(scope="module")
def films(person, tmp_path_factory):
    return film_capture(person, tmp_path_factory.mktemp("films"), rate=2)


@pytest.fixture
def network(person, monkeypatch):
    network = StandIn(person)
    monkeypatch.setattr(finding, "find_landmarker", lambda name: network)
    return network


@pytest.fixture
def no_pages(monkeypatch):
    """To look at a capture takes longer than to make a small one."""
    monkeypatch.setattr("hgg_pyg.prepare.pipeline.write_report", lambda folder, prepared: None)
    monkeypatch.setattr("hgg_pyg.prepare.pipeline.judge", lambda prepared: None)


def interrupted(**_):
    raise KeyboardInterrupt


def options(films, out, **more):
    return PrepareConfig(out=out, videos=(films[0],), calibration=(films[1],), fit=FIT, **more)


def test_videos_become_a_capture_whose_body_is_where_it_was(person, films, network, tmp_path, capsys):
    out = prepare(options(films, tmp_path / "me"))
    made, true = open_capture(out), network.capture
    assert made.frames == tuple(range(6))
    assert made.camera_names == true.camera_names
    body = load_body()
    away = (body.pose(made.poses).vertices - body.pose(true.poses).vertices).norm(dim=-1)
    assert float(away.median()) < 0.03  # metres; tests of the fit are stricter
    assert abs(made.image(3, 2) - true.image(3, 2)).mean() < 0.02
    np.testing.assert_allclose(made.mask(3, 2), true.mask(3, 2), atol=0.01)
    np.testing.assert_allclose(made.cameras.viewmats, true.cameras.viewmats, atol=1e-6)
    assert (out / "body.txt").read_text() == "open\n"
    assert (out / "check.png").is_file()
    assert (out / "report.html").is_file()
    assert "trainable" in capsys.readouterr().out

    looked_at = network.looked_at
    prepare(options(films, out))
    assert "already done" in capsys.readouterr().out
    assert network.looked_at == looked_at
    with pytest.raises(UserError, match="made with other options: every: expected 1, found 2; give another --out"):
        prepare(options(films, out, every=2))


def test_it_goes_on_where_it_stopped_and_redoes_only_what_depends_on_a_change(
    films, network, no_pages, tmp_path, monkeypatch
):
    out = tmp_path / "me"
    short = replace(options(films, out), fit=SHORT)
    with monkeypatch.context() as patch:
        patch.setattr("hgg_pyg.prepare.fitting.fit_body", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(short)
    assert not out.exists()
    assert network.looked_at == 24
    prepare(short)
    first = np.load(out / "smpl_params.npz")["body_pose"]
    shutil.rmtree(out)
    prepare(replace(short, fit=FitConfig(steps=9, mask_steps=0)))
    assert network.looked_at == 24
    assert not np.array_equal(np.load(out / "smpl_params.npz")["body_pose"], first)
    shutil.rmtree(out)
    prepare(replace(short, every=2))
    assert network.looked_at == 36
    assert len(open_capture(out).frames) == 3


def test_images_and_all_that_is_the_users_own_need_no_network(person, network, no_pages, tmp_path, monkeypatch):
    """Landmarks, masks and images of another size than the calibration is for, which cameras' names find."""
    true = network.capture
    monkeypatch.setattr(finding, "find_landmarker", lambda name: pytest.fail("nobody has to be found"))
    for camera, name in enumerate(true.camera_names):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "masks" / name).mkdir(parents=True)
        for frame in range(6):
            shutil.copy(true.images.path(frame, camera), tmp_path / "images" / name / f"{frame + 10}.jpg")
            Image.open(true.masks.path(frame, camera)).save(tmp_path / "masks" / name / f"{frame + 10}.png")
    points = true_landmarks(true, load_body())
    given = {"cameras": np.array(true.camera_names), "landmarks": np.array(LANDMARKS.points)}
    np.savez(tmp_path / "points.npz", points2d=points, frames=np.arange(10, 16), **given)
    config = PrepareConfig(
        out=tmp_path / "me",
        images=tmp_path / "images",
        calibration=(person / "calibration_full.json",),
        masks=tmp_path / "masks",
        landmarks_2d=tmp_path / "points.npz",
        fps=2.0,
        longest=64,
        fit=FIT,
    )
    made = open_capture(prepare(config))
    body = load_body()
    away = (body.pose(made.poses).vertices - body.pose(true.poses).vertices).norm(dim=-1)
    assert float(away.median()) < 0.03
    assert made.file_size == (64, 64)
    assert json.loads((tmp_path / "me" / "prepare.json").read_text())["frames of the footage"][0] == [10] * 4


def test_an_unfamiliar_folder_is_left_alone(films, network, tmp_path):
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"--out .*me: expected a new folder"):
        prepare(options(films, tmp_path / "me"))
    assert [path.name for path in (tmp_path / "me").iterdir()] == ["notes.txt"]


def run(monkeypatch, capsys, *arguments):
    """What the command says of a mistake: one line."""
    monkeypatch.setattr("sys.argv", ["prepare/__main__.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run_command(PrepareConfig, main)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.split("\n") if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_wrong_options_are_one_line(films, tmp_path, monkeypatch, capsys):
    def said(*more, videos=films[0], calibration=films[1]):
        common = ["--out", tmp_path / "me", "--videos", videos, "--calibration", calibration]
        return run(monkeypatch, capsys, *common, *more)

    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert "expected videos" in said(videos=tmp_path / "empty")
    assert "expected the file of a calibration, or --board, found neither" in run(
        monkeypatch, capsys, "--out", tmp_path / "me", "--videos", films[0]
    )
    assert "expected either it or --images" in said("--images", tmp_path)
    assert "expected frames (12) or seconds (0.35s), found 'soon'" in said("--start", "soon")
    assert "--offset: expected CAMERA=FRAMES, found 'cam00'" in said("--offset", "cam00")
    assert "--every" in said("--every", "0")
    assert "--out: expected the name of a new folder, found '.'" in said("--out", ".")
    assert "--landmarks-3d: expected either it or" in said("--landmarks-3d", "a.npz", "--landmarks-2d", "b.npz")
    assert "--landmarker: expected one of" in said("--landmarker", "unknown")
    assert "no such file or folder" in said(calibration=tmp_path / "none.json")
    assert "expected a folder that can be written" in run(
        monkeypatch, capsys, "--out", tmp_path / "file" / "me", "--videos", films[0], "--calibration", films[1]
    )
    assert not (tmp_path / "me").exists()


def test_footage_that_cannot_be_used_is_one_line(films, network, tmp_path, monkeypatch, capsys):
    videos = shutil.copytree(films[0], tmp_path / "videos")

    def said(*more):
        common = ["--out", tmp_path / "me", "--videos", videos, "--calibration", films[1], "--fit.mask-steps", "0"]
        return run(monkeypatch, capsys, *common, *more)

    assert "--offset: expected one of the cameras" in said("--offset", "cam77=3")
    first = videos / "cam00.mp4"
    content = first.read_bytes()
    first.write_bytes(content[: len(content) // 2])
    assert "cam00.mp4: expected a video, found what cannot be opened" in said()
    write_video(first, counting(6, 96, 96), rate=5)
    assert "expected cameras of one frame rate, found 2 a second of cam01 and 5 of cam00; --fps 2" in said()
    write_video(first, counting(6, 128, 96), rate=2)
    shutil.copy(films[1], tmp_path / "cameras.json")
    cameras = json.loads(films[1].read_text())
    for camera in cameras.values():
        camera["imgSize"] = [96, 96]
    (tmp_path / "sized.json").write_text(json.dumps(cameras))
    assert "cam00: expected images of 96x96" in said("--calibration", tmp_path / "sized.json")
    for video in videos.iterdir():
        write_video(video, counting(6, 96, 96), rate=2)
    assert "no person" in said()
    shutil.rmtree(videos)
    shutil.copytree(films[0], videos)
    pictures = [picture[:, ::-1] for picture in map(np.asarray, _pictures(network.capture, 1))]
    write_video(videos / "cam01.mp4", pictures, rate=2)
    assert not (tmp_path / "me").exists()


def _pictures(capture, camera):
    return [(255 * capture.image(frame, camera)).round().astype(np.uint8) for frame in range(len(capture.frames))]


def test_cameras_are_placed_by_a_person_of_known_height(films, network, tmp_path, monkeypatch):
    """Where a calibration has only lenses that are right."""
    lenses = json.loads(films[1].read_text())
    for number, lens in enumerate(lenses.values()):
        lens["R"], lens["T"] = np.eye(3).tolist(), [float(number), 0, 0]
    (tmp_path / "lenses.json").write_text(json.dumps(lenses))
    body, true = load_body(), network.capture
    rest = body.rest_joints(true.poses.betas).numpy()
    joints = {name: rest[body.joint_names.index(name)] for name in LANDMARKS.points if name in body.joint_names}
    points = np.array([[joints.get(name, np.full(3, np.nan)) for name in LANDMARKS.points]])

    placed = []
    monkeypatch.setattr("hgg_pyg.prepare.pipeline.fit", lambda space, filmed, located, *_: placed.append(located))
    config = replace(options(films, tmp_path / "me"), height=stature(points, LANDMARKS))
    with pytest.raises(AttributeError):  # nothing is fitted
        prepare(replace(config, calibration=(tmp_path / "lenses.json",)))
    (located,) = placed
    assert located.notes[0].startswith("cameras are placed by 1")
    own = -(located.calibration.R.transpose(0, 2, 1) @ located.calibration.T[:, :, None])[..., 0]
    apart, true_apart = (
        np.linalg.norm(centers[:, None] - centers, axis=-1) for centers in (own, true.cameras.centers.numpy())
    )
    assert np.abs(apart - true_apart).max() < 0.02 * true_apart.max()
