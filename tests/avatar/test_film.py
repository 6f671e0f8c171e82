"""Films: the pictures of an avatar, and the files that they are written to."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.avatar import Avatar
from hgg_pyg.avatar.camera import Shot, film_cameras
from hgg_pyg.avatar.film import (
    FilmFormat,
    avatar_pictures,
    film_formats,
    find_film_format,
    read_background,
    register,
    registry,
    save_film,
    side_by_side,
)
from hgg_pyg.avatar.film.format import check_film
from hgg_pyg.avatar.footprint import footprint
from hgg_pyg.body import BodyModel
from hgg_pyg.render import render
from hgg_pyg.types import UserError
from tests.avatar.avatars import small_avatar, some_motion

NAMES = {"mp4": "film.mp4", "gif": "film.gif", "png": "film"}


@pytest.fixture(scope="module")
def avatar(body: BodyModel) -> Avatar:
    return small_avatar(body)


def gradients(count: int, width: int = 60, height: int = 40) -> list[np.ndarray]:
    """Pictures on white that differ from one another. [H, W, 3] uint8"""
    y, x = np.mgrid[:height, :width]
    pictures = []
    for number in range(count):
        picture = np.full((height, width, 3), 255, np.uint8)
        picture[8:, 8:] = np.stack([4 * x, 6 * y, 0 * x + 30 * number], -1)[8:, 8:]
        pictures.append(picture)
    return pictures


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    error = found.astype(np.float64) - expected
    return float(10 * np.log10(255**2 / (error**2).mean()))


def save(name: str, folder: Path, pictures: Any, fps: float = 10.0) -> Path:
    save_film(film_formats()[name], folder / NAMES[name], pictures, fps)
    return folder / NAMES[name]


@pytest.mark.parametrize("fps", [10.0, 24000 / 1001])
@pytest.mark.parametrize(("width", "height"), [(60, 40), (61, 41)])
def test_a_video_shows_the_pictures_in_their_colours(tmp_path: Path, width: int, height: int, fps: float) -> None:
    pictures = gradients(7, width, height)
    with av.open(str(save("mp4", tmp_path, iter(pictures), fps))) as film:
        (stream,) = film.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.frames == 7
        assert stream.average_rate == Fraction(fps).limit_denominator(1001)
        found = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
    assert found[0].shape == (height + height % 2, width + width % 2, 3)
    for each, expected in zip(found, pictures, strict=True):
        assert psnr(each[:height, :width], expected) > 33


def test_a_gif_lasts_as_long_and_its_background_is_exact(tmp_path: Path) -> None:
    pictures = gradients(8)
    with Image.open(save("gif", tmp_path, iter(pictures), fps=15)) as film:
        assert (film.n_frames, film.info["loop"]) == (8, 0)
        durations = []
        for number, expected in enumerate(pictures):
            film.seek(number)
            durations.append(film.info["duration"])
            found = np.asarray(film.convert("RGB"))
            assert psnr(found, expected) > 22
            assert (found[:8] == 255).all()
    assert sum(durations) == 530  # eight fifteenths of a second, to a hundredth
    assert set(durations) == {60, 70}


@pytest.mark.parametrize("channels", [3, 4])
def test_pngs_are_exact(tmp_path: Path, channels: int) -> None:
    pictures = [np.dstack([picture, picture[..., :1]])[..., :channels] for picture in gradients(3)]
    folder = save("png", tmp_path, iter(pictures))
    assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    for number, expected in enumerate(pictures):
        np.testing.assert_array_equal(np.asarray(Image.open(folder / f"{number:05d}.png")), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError("a file is broken"), OSError(28, "No space left")])
def test_stopped_midway_it_leaves_what_was_there(tmp_path: Path, name: str, stop: Any) -> None:
    def stopped() -> Iterator[np.ndarray]:
        yield from gradients(3)
        raise stop

    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    for made in (False, True):
        if made:
            save(name, tmp_path, gradients(2))
        before = contents()
        with pytest.raises((KeyboardInterrupt, UserError)):
            save(name, tmp_path, stopped())
        assert contents() == before
        assert len(list(tmp_path.iterdir())) == int(made)


def test_a_folder_of_another_film_is_replaced_and_one_of_other_things_is_not(tmp_path: Path) -> None:
    folder = save("png", tmp_path, gradients(5))
    save("png", tmp_path, gradients(2))
    assert len(list(folder.iterdir())) == 2
    (folder / "letter.txt").touch()
    with pytest.raises(UserError, match=r"expected an empty folder or one of numbered pictures, found letter\.txt"):
        save("png", tmp_path, gradients(2))
    assert len(list(folder.iterdir())) == 3
    (tmp_path / "film.mp4").mkdir()
    with pytest.raises(UserError, match=r"film\.mp4: expected a file, found a folder"):
        save("mp4", tmp_path, gradients(2))
    (tmp_path / "text").touch()
    with pytest.raises(UserError, match="text: expected a folder, found a file"):
        save_film(film_formats()["png"], tmp_path / "text", gradients(2), 10)


def test_a_format_of_yours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine: Any = ModuleType("my_films")
    mine.COUNT = FilmFormat(
        name="count",
        summary="how many",
        suffix=".txt",
        write=lambda path, pictures, fps: path.write_text(f"{len(list(pictures))} at {fps:g}"),
    )
    monkeypatch.setitem(sys.modules, "my_films", mine)
    monkeypatch.setattr(registry, "_registered", {})
    path = tmp_path / "film.TXT"
    save_film(find_film_format(path, "my_films:COUNT"), path, gradients(4), 12.5)
    assert path.read_text() == "4 at 12.5"
    with pytest.raises(UserError, match=r"\.mp4: H\.264 video.*found \.TXT"):
        find_film_format(path)
    register(mine.COUNT)
    assert find_film_format(path) is mine.COUNT
    with pytest.raises(ValueError, match="found those of mp4"):
        register(replace(mine.COUNT, suffix=".mp4"))


@pytest.mark.parametrize(
    ("out", "name", "said"),
    [
        ("a.avi", None, r"--out a\.avi: expected a name of one of these \(\.gif: "),
        ("a.mp4", "gif", r"expected a name that ends in \.gif, found \.mp4"),
        ("a.mp4", "png", r"expected a folder, whose name has no ending, found \.mp4"),
        ("a", "avi", "--format: expected one of gif, mp4, png, or module:NAME of a format of yours; found 'avi'"),
        ("a", "no_such:X", "--format: 'no_such:X' cannot be imported from here"),
        ("a", "sys:path", "--format: expected 'sys:path' to be a FilmFormat, found list"),
    ],
)
def test_no_such_format(out: str, name: str | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        find_film_format(Path(out), name)


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--out a\.mp4: expected av to write mp4, found none: pip install av$"):
        find_film_format(Path("a.mp4"))
    assert find_film_format(Path("a.gif")).name == "gif"


@pytest.mark.parametrize(
    ("name", "film", "said"),
    [
        ("mp4", ((9000, 10), 1, 30, False), "--size: expected at most 8,192 pixels a side in mp4, found 9000x10"),
        ("gif", ((10, 10), 1, 60, False), "--fps: expected at most 50 frames per second in gif, found 60"),
        ("gif", ((10, 10), 1, 30, True), "--background: expected a colour, since gif cannot be transparent"),
        ("gif", ((1000, 1000), 1000, 50, False), r"--seconds: expected at most 7\.14 in gif, .*, found 20\.00"),
    ],
)
def test_what_a_format_cannot_hold(name: str, film: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_film(film_formats()[name], *film)
    check_film(film_formats()["png"], *film)


def test_pictures_are_what_the_renderer_draws(avatar: Avatar) -> None:
    """More of them than are posed at a time, moving towards the camera, so that each has a footprint of its own."""
    motion = some_motion(24, 18)
    motion = replace(motion, transl=torch.linspace(0, 1.5, 18)[:, None] * torch.tensor([0.0, 0, 1]))
    cameras = film_cameras(avatar, motion, Shot(zoom=3), (40, 30))
    behind = torch.tensor([0.2, 0.5, 0.9])
    found = list(avatar_pictures(avatar, motion, cameras, behind))
    assert len(found) == 18
    posed = avatar.repose(motion.pose(avatar.betas))
    blurs = []
    for frame in (0, 15, 16, 17):
        middle = posed.means[frame].mean(0)
        depth = float(cameras.viewmats[frame, 2, :3] @ middle + cameras.viewmats[frame, 2, 3])
        blurs.append(footprint(avatar.seen, float(cameras.Ks[frame, 0, 0]), depth))
        expected = render(posed[frame], cameras[[frame]], behind, eps2d=blurs[-1]).rgb[0]
        np.testing.assert_allclose(found[frame] / 255, expected, atol=0.51 / 255)
    if min(blurs) > 0.3:
        assert blurs[-1] > 1.2 * blurs[0]


def test_transparent_pictures_give_the_others_over_their_background(avatar: Avatar) -> None:
    motion = some_motion(24, 1)
    cameras = film_cameras(avatar, motion, Shot(), (40, 30))
    (clear,) = avatar_pictures(avatar, motion, cameras, None)
    (solid,) = avatar_pictures(avatar, motion, cameras, torch.tensor([1.0, 1, 1]))
    assert clear.shape == (30, 40, 4)
    alpha = clear[..., 3:] / 255
    assert (alpha == 0).any()
    assert (alpha > 0.5).any()
    np.testing.assert_allclose(clear[..., :3] * alpha + 255 * (1 - alpha), solid, atol=2)


def test_side_by_side() -> None:
    left, right = gradients(3, 20), gradients(3, 30)
    for number, picture in enumerate(side_by_side([iter(left), iter(right)])):
        np.testing.assert_array_equal(picture[:, :20], left[number])
        np.testing.assert_array_equal(picture[:, 20:], right[number])
    with pytest.raises(ValueError, match="shorter"):
        list(side_by_side([iter(left), iter(right[:2])]))


@pytest.mark.parametrize(
    ("text", "color"),
    [("white", [255, 255, 255]), ("#102030", [16, 32, 48]), ("RebeccaPurple", [102, 51, 153])],
)
def test_colours(text: str, color: list[int]) -> None:
    found = read_background(text)
    assert found is not None
    assert (found * 255).round().tolist() == color


def test_no_colour() -> None:
    assert read_background("Transparent") is None
    with pytest.raises(UserError, match=r"--background: expected transparent, or a colour such as .*found 'whight'"):
        read_background("whight")
