"""Masks of other numbers than 0 to 255 are read for what they are, by a rule of the capture and not of an image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgg_pyg.check import CheckConfig
from hgg_pyg.check import main as check
from hgg_pyg.data import Capture, open_captures
from hgg_pyg.types import UserError
from tests.data.test_capture import FRAMES, HEIGHT, WIDTH, write_subject

CAMERAS = ("cam00", "cam01")
Paint = Callable[[np.ndarray], Image.Image]


def person(frame: int) -> np.ndarray:
    """How much of each pixel the person covers; in frame 1 nobody is there. [HEIGHT, WIDTH]"""
    y, x = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
    inside = 1.2 - ((x - 20 - frame) / 14) ** 2 - ((y - HEIGHT / 2) / 26) ** 2
    return np.clip(inside * 5, 0, 1) * (frame != 1)


def with_palette(indices: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette([*np.array(colours).ravel().tolist(), *[0] * (768 - 3 * len(colours))])
    return image


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Paint], Path]:
    """A capture whose masks are painted from `person`."""

    def write(paint: Paint) -> Path:
        folder = write_subject(tmp_path / "anna")
        for path in folder.glob("cam*/mask/pha/*.jpg"):
            paint(person(int(path.stem))).save(path.with_suffix(".png"))
            path.unlink()
        return folder

    return write


def opened(folder: Path, image_size: int | None = None) -> Capture:
    return open_captures(folder, image_size).train[0]


def hard(cover: np.ndarray) -> np.ndarray:
    return cover > 0.5


HARD: dict[str, Paint] = {
    "0 and 1": lambda cover: Image.fromarray(hard(cover).astype(np.uint8)),
    "one bit": lambda cover: Image.fromarray(hard(cover)),
    "0 and 255": lambda cover: Image.fromarray(hard(cover).astype(np.uint8) * 255),
    "palette of DAVIS": lambda cover: with_palette(hard(cover), (0, 0, 0), (128, 0, 0)),
    "palette, two people": lambda cover: with_palette(
        hard(cover) * 1 + hard(cover) * 1, (0,) * 3, (128, 0, 0), (0, 9, 0)
    ),
    "palette of greys": lambda cover: with_palette(hard(cover) * 2, (0, 0, 0), (9, 0, 0), (255, 255, 255)),
    "palette of 0 and 1": lambda cover: with_palette(hard(cover), (0, 0, 0), (1, 1, 1)),
    "0 and 1 in 16 bits": lambda cover: Image.fromarray(hard(cover).astype(np.uint16)),
    "0 and 255 in 16 bits": lambda cover: Image.fromarray(hard(cover).astype(np.uint16) * 255),
    "0 and 65535": lambda cover: Image.fromarray(hard(cover).astype(np.uint16) * 65535),
}
SOFT: dict[str, Paint] = {
    "8 bits": lambda cover: Image.fromarray((cover * 255).round().astype(np.uint8)),
    "8 bits in 16": lambda cover: Image.fromarray((cover * 255).round().astype(np.uint16)),
    "16 bits": lambda cover: Image.fromarray((cover * 65535).round().astype(np.uint16)),
}


@pytest.mark.parametrize("kind", HARD)
def test_masks_without_shades(write, kind: str) -> None:
    folder = write(HARD[kind])
    for size, tolerance in ((None, 0), (32, 1e-6)):
        capture = opened(folder, size)
        for frame in range(FRAMES):
            expected = hard(person(frame)).astype(float)
            if size:
                expected = expected.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3))
            np.testing.assert_allclose(capture.mask(frame, 1), expected, atol=tolerance)


@pytest.mark.parametrize("kind", SOFT)
def test_masks_with_shades(write, kind: str) -> None:
    capture = opened(write(SOFT[kind]))
    for frame in range(FRAMES):
        np.testing.assert_allclose(capture.mask(frame, 0), person(frame), atol=0.51 / 255)


def test_the_rule_is_the_captures_and_part_of_its_digest(write) -> None:
    """Nobody in the first frame, and a faint rest in another: neither is stretched."""
    folder = write(SOFT["8 bits"])
    usual = opened(folder)
    assert (usual.masks.white, usual.masks.labels) == (None, False)
    for camera in CAMERAS:
        masks = folder / camera / "mask" / "pha"
        Image.new("L", (WIDTH, HEIGHT)).save(masks / "00000000.png")
        Image.new("L", (WIDTH, HEIGHT), 1).save(masks / "00000001.png")
    capture = opened(folder)
    assert capture.masks.white is None
    assert capture.mask(0, 0).max() == 0
    assert capture.mask(1, 0).max() == pytest.approx(1 / 255)
    assert capture.mask(2, 0).max() == 1


def test_a_mask_that_breaks_the_rule_names_itself(write) -> None:
    """Of many frames not all are looked at before the rule is made."""
    folder = write(HARD["0 and 1"])
    for camera in CAMERAS:
        for frame in range(FRAMES, 12):
            for place in (folder / camera, folder / camera / "mask" / "pha"):
                source = next(place.glob("00000002.*"))
                (place / f"{frame:08d}{source.suffix}").write_bytes(source.read_bytes())
    params = dict(np.load(folder / "smpl_params.npz"))
    longer = {key: value if key == "betas" else np.repeat(value, 3, 0) for key, value in params.items()}
    np.savez(folder / "smpl_params.npz", **longer)
    odd = folder / "cam01" / "mask" / "pha" / "00000007.png"
    Image.new("L", (WIDTH, HEIGHT), 200).save(odd)
    capture = opened(folder)
    assert capture.masks.white == 1
    assert capture.mask(8, 1).max() == 1
    with pytest.raises(UserError, match=f"^{odd}: expected a mask from 0 to 1, like others of its capture, found 200"):
        capture.mask(7, 1)


def test_the_digest_follows_the_meaning(write, monkeypatch) -> None:
    folder = write(HARD["0 and 1"])
    before = opened(folder).digest
    monkeypatch.setattr("hgg_pyg.data.layouts.assemble.with_meaning", lambda masks: masks)
    assert opened(folder).digest != before


def test_broken_masks_are_passed_by(write, caplog) -> None:
    folder = write(HARD["palette of DAVIS"])
    path = folder / "cam00" / "mask" / "pha" / "00000000.png"
    path.write_bytes(path.read_bytes()[:-30])
    with caplog.at_level(logging.WARNING, "hgg_pyg.data"):
        assert opened(folder).masks.labels


def test_check_says_what_masks_hold_that_it_takes_for_black(write, tmp_path, capsys) -> None:
    folder = write(lambda cover: Image.fromarray((cover * 100).round().astype(np.uint8)))
    (folder / "body.txt").write_text("open")
    with pytest.raises(SystemExit):
        check(CheckConfig(folder, out=tmp_path / "check"))
    said = " ".join(capsys.readouterr().out.split())
    assert "8 of 8 masks looked at are empty (black)" in said
    assert "the largest value among them is 100 of 255, in" in said
