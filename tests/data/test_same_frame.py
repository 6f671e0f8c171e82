"""Two files of one frame are refused in every layout, images and masks: the folder's order decides nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from hgg_pyg.data import open_captures
from hgg_pyg.data.layouts.avatarrex import AVATARREX, THUMAN4
from hgg_pyg.data.layouts.base import FrameNames, list_files
from hgg_pyg.types import UserError
from tests.data.test_capture import write_subject


@pytest.mark.parametrize("place", ["cam01", "cam00/mask/pha"])
@pytest.mark.parametrize("layout", [AVATARREX, THUMAN4], ids=lambda layout: layout.name)
def test_a_converted_copy_beside_the_original(tmp_path: Path, layout, place: str) -> None:
    folder = write_subject(tmp_path / "anna")
    copy = folder / place / "00000002.png"
    Image.open(folder / place / "00000002.jpg").save(copy)
    if layout is THUMAN4:
        for camera in ("cam00", "cam01"):
            shutil.move(folder / camera / "mask" / "pha", folder / "masks" / camera)
            shutil.rmtree(folder / camera / "mask")
            shutil.move(folder / camera, folder / "images" / camera)
    found = next(path for path in folder.rglob("00000002.png")).parent
    message = f"{found}: expected one file for each frame, found 00000002.jpg and 00000002.png; move one of them"
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        open_captures(folder)
    (found / "00000002.jpg").unlink()
    assert open_captures(folder).train[0].frames == (0, 1, 2, 3)


def test_two_ways_to_write_one_number(tmp_path: Path) -> None:
    for name in ("0005_img.jpg", "5_img.jpg", "6_img.jpg", "0005_img.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"found 0005_img\.jpg and 5_img\.jpg"):
        list_files(tmp_path, FrameNames("0005_img.jpg", "_img"))
