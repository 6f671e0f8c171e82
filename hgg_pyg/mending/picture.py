"""The body over the images with the poses before, and under it with those after, for a person to judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hgg_pyg.capture_check.scene import Scene
from hgg_pyg.capture_check.sheet import Block, Tile, compose, overlay
from hgg_pyg.data.clips import even_frames
from hgg_pyg.io.files import write_atomically
from hgg_pyg.mending.numbers import joint_distances, shown_cameras, shown_frames, whole
from hgg_pyg.mending.subject import Mended

_COLUMNS, _ROWS = 4, 3
_IMAGES = 1024  # longest side at which images are read, pixels
_DARK, _GREY = (0, 0, 0), (60, 60, 60)


def save_picture(path: Path, mended: Mended, scenes: tuple[Scene, Scene], text: str) -> None:
    """Before and after of the frames that moved most and least, and one between, from evenly spread cameras.

    Args:
        path: of the PNG file.
        mended: the subject.
        scenes: what `measure` looked at.
        text: under the subject's name.
    """
    capture = whole(mended.before, _IMAGES)
    frames, cameras = shown_frames(capture), shown_cameras(capture)
    columns = even_frames(0, len(cameras), _COLUMNS)
    blocks = [Block(((mended.before.name, 20, _DARK), (text, 15, _GREY)), ())]
    for t in _telling(mended, frames):
        for word, scene in zip(("before", "after"), scenes, strict=True):
            tiles: tuple[Tile, ...] = tuple(overlay(capture, scene, t, v, frames[t], cameras[v]) for v in columns)
            heading = f"frame {capture.frames[frames[t]]}, {word}"
            heading += "" if frames[t] in mended.better else " (keeps its pose)"
            blocks.append(Block(((heading, 15, _GREY),), (tiles,)))
    sheet = compose(blocks)
    write_atomically(path, lambda partial: sheet.save(partial))


def _telling(mended: Mended, frames: tuple[int, ...]) -> list[int]:
    """Positions in `frames`: of the one that moved least, of one between and of the one that moved most."""
    distances = dict(zip(mended.better, joint_distances(mended).mean(1), strict=True))
    order = np.argsort([distances.get(frame, 0.0) for frame in frames])
    return [int(order[i]) for i in even_frames(0, len(order), _ROWS)]
