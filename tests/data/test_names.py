"""What files of frames may be called: any number of digits, a word before them, capitals; else what was expected."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hgg_pyg.backbones import SurfaceBackbone
from hgg_pyg.data import frame_sources, open_captures
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.layouts.base import FrameNames, list_files
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.capture_writer import write_subject
from hgg_pyg.types import UserError
from tests.data.test_zju_mocap import write_subject as zju_mocap_subject

FORMS: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "fewer digits": lambda name: re.sub(r"^0+(\d{4})", r"\1", name),
    "more digits": lambda name: f"000{name}",
    "a word": lambda name: f"frame_{name}",
    "another word": lambda name: f"Camera (1)-{name}",
}


@pytest.fixture(scope="module", params=["avatarrex", "thuman4", "mvhumannet_16", "mvhumannet_pp"])
def folder(request, tmp_path_factory, body) -> Path:
    """A subject of 2 frames from 2 cameras. Read only: copy it to change it."""
    config = SynthesizeConfig(
        out=tmp_path_factory.mktemp("data"), subjects=3, frames=2, views=2, size=16, layout=request.param
    )
    write_subject(config, 0, body, lambda count: None)
    (subject,) = find_subjects(config.out).values()
    return subject.folder


@pytest.mark.parametrize("form", FORMS)
def test_names_of_other_forms_are_read_alike_in_every_layout(folder: Path, tmp_path: Path, form: str) -> None:
    (expected,) = open_captures(folder).train
    other = shutil.copytree(folder, tmp_path / folder.name)
    for path in other.rglob("*.jpg"):
        path.rename(path.with_name(FORMS[form](path.name)))
    for path in [*other.rglob("*.png"), *other.glob("smpl*/**/*.json"), *other.glob("smpl_param/*.pkl")]:
        path.rename(path.with_name(FORMS[form](path.name)))
    (found,) = open_captures(other).train
    assert found.frames == expected.frames
    assert found.left_out == expected.left_out == ()
    np.testing.assert_array_equal(found.image(1, 0), expected.image(1, 0))
    np.testing.assert_array_equal(found.mask(0, 1), expected.mask(0, 1))


def test_other_names_are_told_of(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / folder.name)
    for path in [*other.rglob("*.jpg"), *other.rglob("*.png")]:
        path.rename(path.with_name(f"{path.stem}_final.jpg"))
    with pytest.raises(UserError, match=r"images.*: expected names like \d+\S*\.jpg, found \d+\S*_final\.jpg"):
        open_captures(other)


def test_zju_mocap_names_images_in_its_annotations(tmp_path: Path, body) -> None:
    """Capitals do not matter; other names than those are told of."""
    folder = zju_mocap_subject(tmp_path / "CoreView_390")
    (capture,) = open_captures(folder, body=body).train
    image, mask = capture.image(1, 1), capture.mask(1, 1)
    for path in [*folder.rglob("*.jpg"), *folder.rglob("*.png")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    (found,) = open_captures(folder, body=body).train
    assert found.frames == capture.frames
    np.testing.assert_array_equal(found.image(1, 1), image)
    np.testing.assert_array_equal(found.mask(1, 1), mask)
    for path in folder.rglob("*.JPG"):
        path.rename(path.with_name(f"x{path.name}"))
    said = r"'ims': expected images such as Camera_B2/000000.jpg, found none of them; .*/Camera_B\d+: "
    with pytest.raises(UserError, match=said + r"expected names like 000000.jpg, found x000000.JPG$"):
        open_captures(folder, body=body)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0025.jpg", "A-2045.jpg", "Thumbs.db"], {25: "0025.jpg"}),
        (["frame_1.png", "frame_2.PNG", "._frame_1.png"], {1: "frame_1.png", 2: "frame_2.PNG"}),
        (["frame_1.png", "mask_1.png"], {}),
        (["img2000x1000_7.jpeg"], {7: "img2000x1000_7.jpeg"}),
        (["1.tif", "x.png", "1_2.txt", "\u0661.png"], {}),  # \d would take Arabic digits
        ([], {}),
    ],
)
def test_numbers_alone_go_before_words_and_two_words_are_none(tmp_path: Path, names: list[str], expected: dict) -> None:
    for name in names:
        (tmp_path / name).touch()
    listing = list_files(tmp_path, FrameNames("00000000.jpg"))
    assert listing.names == expected
    assert set(listing.stamps) == set(expected)
    said = f"expected names like 00000000.jpg, found {min(names)}" if names and not expected else ""
    assert listing.unlike == said


def test_folders_that_are_not_utf8(tiny_captures: Path, tmp_path: Path, body) -> None:
    """Of a subject and of what holds it."""
    data = tmp_path / os.fsdecode(b"aufnahmen_m\xe4rz")
    for name in (b"m\xfcller", b"no\xebl", b"\xff"):
        shutil.copytree(tiny_captures / "subject000", data / os.fsdecode(name))
    captures = open_captures(data)
    (capture,) = captures.train
    assert capture.name == os.fsdecode(b"m\xfcller")
    source = frame_sources([capture], 4, SurfaceBackbone(), body, tmp_path / "cache")[0]
    assert len(source.load(1)) > 0
    assert source.path(1).is_file()
    assert len(open_captures(tiny_captures / "subject000").train[0].digest) == len(capture.digest)
