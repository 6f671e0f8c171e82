"""The command that films an avatar, from the file to the film."""

import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.animate import AnimateConfig, main
from hgg_pyg.avatar import Avatar, BoundAvatar, Seen
from hgg_pyg.avatar.camera import film_cameras
from hgg_pyg.avatar.film import avatar_pictures
from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.runtime import run_command
from hgg_pyg.types import Gaussians, UserError
from tests.avatar.avatars import small_avatar, some_motion

SIZE = 40, 32


@pytest.fixture(scope="module")
def saved(body: BodyModel, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("avatars") / "person.avatar"
    small_avatar(body).save(path)
    return path


@pytest.fixture(scope="module")
def subject(tiny_captures: Path) -> Path:
    return tiny_captures / "subject002"


@pytest.fixture(scope="module")
def capture(subject: Path, body: BodyModel) -> Capture:
    (found,) = find_subjects(subject).values()
    return make_capture(subject, found.layout, body, None, False)


@pytest.fixture(scope="module")
def dark(capture: Capture, body: BodyModel, tmp_path_factory) -> Path:
    """The subject's body, dark all over, that was filmed at five frames a second."""
    betas, count = capture.poses.betas, body.num_vertices
    skin = Gaussians(
        means=body.shaped_vertices(betas),
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        scales=torch.full((count, 3), 0.004),
        opacities=torch.full((count,), 0.3),
        colors=torch.full((count, 3), 0.1),
    )
    bound = BoundAvatar(skin, torch.arange(count), betas)
    avatar = bound.rig(body, Seen(focal=40.0, distance=3.0), [replace(some_motion(24), fps=5.0)])
    out = tmp_path_factory.mktemp("avatars") / "dark.avatar"
    avatar.save(out)
    return out


def pngs(folder: Path) -> np.ndarray:
    """[T, H, W, C]"""
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


def test_a_video_of_a_motion(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = main(AnimateConfig(avatar=saved, motion="captured", out=tmp_path / "new" / "film.mp4", size=SIZE, fps=20))
    with av.open(str(out)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 20
    assert len(frames) == 9  # five poses at ten a second
    assert frames[0].shape == (32, 40, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 50  # somebody moves
    assert (frames[0][0, 0] > 250).all()  # on white
    assert capsys.readouterr().out.startswith(f"{out}: 9 pictures of 40x32 pixels, 0.5 s, ")


def test_the_film_is_what_its_parts_make(saved: Path, tmp_path: Path) -> None:
    config = AnimateConfig(
        avatar=saved, motion="captured", out=tmp_path / "film", size=SIZE, fps=10, background="#203040",
        camera="orbit", turns=0.5, elevation=20.0, zoom=2.0, look_at="head", sharpness=2.0,
    )  # fmt: skip
    avatar = Avatar.load(saved)
    motion = avatar.motions[0]
    cameras = film_cameras(avatar, motion, config, SIZE, orbit=True)
    background = torch.tensor([32.0, 48, 64]) / 255
    expected = np.stack(list(avatar_pictures(avatar, motion, cameras, background, sharpness=2.0)))
    np.testing.assert_array_equal(pngs(main(config)), expected)


def test_our_own_motions_go_round(saved: Path, tmp_path: Path) -> None:
    film = pngs(main(AnimateConfig(avatar=saved, out=tmp_path / "film", size=(24, 24), fps=4, seconds=2.5)))
    assert len(film) == 10  # walk, a cycle a second
    np.testing.assert_array_equal(film[:6], film[4:])
    whole = main(AnimateConfig(avatar=saved, motion="wave", out=tmp_path / "wave", size=(24, 24), fps=4))
    assert len(list(whole.iterdir())) == 22  # two rounds of 2.75 seconds: the six seconds that are nearest


def test_a_motion_file_and_a_gif_beside_the_avatar(saved: Path, tmp_path: Path, monkeypatch) -> None:
    joints, frames = 52, 30
    np.savez(
        tmp_path / "run.npz",
        poses=np.linspace(0, 0.5, frames)[:, None] * np.ones(3 * joints),
        trans=np.linspace([0, 0, 0], [0, -2, 0], frames),
        betas=np.zeros(10),
        gender="neutral",
        mocap_framerate=np.array(60.0),
    )
    options = {"motion": str(tmp_path / "run.npz"), "size": (24, 24), "fps": 10.0, "follow": True}
    with Image.open(main(AnimateConfig(avatar=saved, out=tmp_path / "run.gif", **options))) as film:
        assert film.n_frames == 5
    mine = tmp_path / "mine.avatar"
    mine.write_bytes(saved.read_bytes())
    assert main(AnimateConfig(avatar=mine, **options, seconds=0.3)) == tmp_path / "mine_run.mp4"


def test_transparent_pngs(saved: Path, tmp_path: Path) -> None:
    config = AnimateConfig(avatar=saved, out=tmp_path / "film", size=SIZE, seconds=0.05, background="transparent")
    film = pngs(main(config))
    assert film.shape == (2, 32, 40, 4)
    assert film[0, 0, 0, 3] == 0
    assert film[..., 3].max() > 128


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_beside_ground_truth_and_another_avatar(dark: Path, subject: Path, tmp_path: Path, capsys) -> None:
    """The body is where the person is in the camera's images, in time too."""
    avatar = Avatar.load(dark)
    pale = tmp_path / "pale.avatar"
    replace(avatar, gaussians=replace(avatar.gaussians, colors=9 * avatar.gaussians.colors)).save(pale)
    config = AnimateConfig(
        avatar=dark, capture=subject, beside=(str(pale), "truth"), out=tmp_path / "film", fps=5, background="#00ff00"
    )
    film = pngs(main(config))
    assert film.shape == (4, 32, 96, 3)
    assert f"from left to right: {dark}, {pale}, truth" in capsys.readouterr().out
    panels = np.split(film.astype(int), 3, 2)
    ours, other, truth = (np.abs(panel - [0, 255, 0]).sum(-1) > 200 for panel in panels)
    in_time = [overlap(ours[frame], truth[frame]) for frame in range(4)]
    assert min(in_time) > 0.45  # people wear clothes
    assert np.mean(in_time) > np.mean([overlap(ours[frame], truth[frame - 2]) for frame in range(4)])
    assert panels[0][ours].mean() < 70
    assert panels[1][other].mean() > 150


def test_a_capture_at_another_size_and_speed(dark: Path, subject: Path, capture: Capture, tmp_path: Path) -> None:
    """Four frames in 0.6 s, at ten a second: poses are in between and images stay, in the middle of a wide picture."""
    config = AnimateConfig(
        avatar=dark, capture=subject, beside=("truth",), out=tmp_path / "film", fps=10, size=(100, 50),
        view=capture.camera_names[4],
    )  # fmt: skip
    film = pngs(main(config)).astype(int)
    assert film.shape == (7, 50, 200, 3)
    ours, truth = film[:, :, :100], film[:, :, 100:]
    np.testing.assert_array_equal(truth[0], truth[1])  # a frame and a half, rounded to the even one
    assert np.abs(truth[1] - truth[2]).max() > 30
    assert np.abs(ours[0] - ours[1]).max() > 5
    assert (truth[:, :, :24] == 255).all()
    assert (truth[:, :, 76:] == 255).all()
    assert overlap(*((panel[0] < 200).any(-1) for panel in (ours, truth))) > 0.5


def test_another_motion_where_the_capture_was_filmed(dark: Path, subject: Path, tmp_path: Path) -> None:
    config = AnimateConfig(avatar=dark, capture=subject, motion="wave", out=tmp_path / "film", fps=5, seconds=0.3)
    film = pngs(main(config))
    assert film.shape == (2, 32, 32, 3)
    rows, columns = np.nonzero((film[0] < 200).any(-1))
    assert np.ptp(rows) > 12  # whole, in the middle
    assert 8 < columns.mean() < 24


def test_stopped_it_leaves_nothing(saved: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def stopped(*_, **__):
        yield np.zeros((32, 40, 3), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr("hgg_pyg.animate.avatar_pictures", stopped)
    for out in ("film.mp4", "film.gif", "film"):
        monkeypatch.setattr("sys.argv", ["animate.py", str(saved), "--out", str(tmp_path / out), "--size", "40", "32"])
        with pytest.raises(SystemExit) as stop:
            run_command(AnimateConfig, main)
        assert stop.value.code == 130
        assert not list(tmp_path.iterdir())
    assert "interrupted" in capsys.readouterr().err


WRONG = {
    "--motion run": "motion run: expected one of walk",
    "--motion HERE/film.gif": "HERE/film.gif: expected a motion ",
    "--out HERE": "--out HERE: expected a file, found a folder|--out HERE: expected an empty folder",
    "--out HERE/a.avi": "--out HERE/a.avi: expected a name of one of these ",
    "--out HERE/film.gif/a.mp4": "--out HERE/film.gif: expected a folder that can be written",
    "--format webm": "--format: expected one of gif, mp4, png",
    "--camera round": "camera",
    "--camera capture": "camera: expected --capture with it, found none",
    "--view 1": "view: expected --capture with it, found none",
    "--subject me": "subject: expected --capture with it, found none",
    "--beside truth": "beside: truth: expected --capture with it, found none",
    "--beside HERE/b.avatar": "HERE/b.avatar: expected an avatar file, found nothing to read",
    "--beside HERE/film.gif": "HERE/film.gif: ",
    "--turns 2": "turns: expected --camera orbit with it, found another",
    "--capture SUBJECT --zoom 2": "zoom: expected --camera still or orbit with it, found another",
    "--capture SUBJECT --beside truth --motion walk": "beside: truth: expected --camera capture and --motion captured",
    "--capture SUBJECT --beside truth --camera still": "beside: truth: expected --camera capture and --motion captured",
    "--capture SUBJECT --view 99": r"--view: expected a camera of SUBJECT \(.*\), found '99'",
    "--capture SUBJECT --subject me": "--subject: expected one of SUBJECT .*, found 'me'",
    "--capture HERE/nowhere": "HERE/nowhere: expected a folder of captures, found nothing",
    "--size 4 4": "size: expected each at least 8",
    "--size 64": "size",
    "--fps 0": "fps: expected at least 0.1, found 0",
    "--fps 60 --out HERE/b.gif": "--fps: expected at most 50 frames per second in gif, found 60",
    "--seconds 0": "seconds: expected more than 0",
    "--seconds 3000 --size 500 500 --out HERE/b.gif": "--seconds: expected at most .* in gif",
    "--seconds 36000 --fps 240": "--seconds: expected at most 416.667 at 240 frames per second, found 36000",
    "--background 1,2,3": "--background: expected transparent, or a colour",
    "--background transparent": "--background: expected a colour, since mp4 cannot be transparent",
    "--look-at nose": "--look-at: expected one of pelvis, .*; found 'nose'",
    "--zoom 0": "zoom: expected at least 0.01",
    "--sharpness nan": "sharpness: expected a number",
}


@pytest.mark.parametrize("options", WRONG)
def test_what_is_wrong_is_one_line(
    options: str, saved: Path, subject: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "film.gif").write_bytes(b"GIF89a")
    places = {"HERE": str(tmp_path), "SUBJECT": str(subject)}
    message = WRONG[options]
    for name, place in places.items():
        options, message = options.replace(name, place), message.replace(name, re.escape(place))
    out = [] if "--out" in options else ["--out", str(tmp_path / "film.mp4")]
    monkeypatch.setattr("sys.argv", ["animate.py", str(saved), *out, *options.split()])
    with pytest.raises(SystemExit) as stop:
        run_command(AnimateConfig, main)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(message, said), said
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]


def test_an_avatar_of_another_body_than_the_capture(body: BodyModel, subject: Path, tmp_path: Path) -> None:
    """Fewer joints than the capture's poses have."""
    avatar = small_avatar(body)
    skeleton, weights = avatar.skeleton, torch.ones(len(avatar.weights), 22) / 22
    fewer = replace(skeleton, names=skeleton.names[:22], parents=skeleton.parents[:22], joints=skeleton.joints[:22])
    replace(avatar, skeleton=fewer, weights=weights, motions=()).save(tmp_path / "a.avatar")
    with pytest.raises(UserError, match="this avatar has 22 joints and expects 63 values per frame, found 69"):
        main(AnimateConfig(avatar=tmp_path / "a.avatar", capture=subject, out=tmp_path / "film"))


@pytest.mark.parametrize("nowhere", [".", "/"])
def test_a_folder_without_a_name_in_the_place_of_an_avatar(nowhere: str) -> None:
    with pytest.raises(UserError, match=f"{nowhere}: expected the name of a file, found a folder's"):
        main(AnimateConfig(avatar=Path(nowhere)))
