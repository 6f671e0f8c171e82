"""What the writer of a layout decides, and what several of them share."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.synthetic.footage import Footage
from hgg_pyg.synthetic.raycast import RenderedImage, View


class LayoutWriter(Protocol):
    """How one data set lies on disk. Paths are relative: a subject's to --out, all others to the subject's folder."""

    body: Literal["open", "open-smplx"] = "open"
    """the word in body.txt: the body that the poses are for"""
    smplx: bool = False
    """whether there are SMPL-X parameters: hands are held still in the images, and open_smplx.npz is written"""
    own_split: bool = False
    """whether the folders themselves say what is for testing; else splits.json does"""
    monocular: bool = False
    """whether there is one camera, whatever --views says"""

    def subject(self, index: int, test: bool) -> str:
        """A subject's folder."""
        ...

    def cameras(self, count: int) -> tuple[str, ...]:
        """Names, in the order in which the cameras stand around the person."""
        ...

    def image(self, subject: str, camera: str, frame: int) -> str:
        """An image; frame counts from 0."""
        ...

    def mask(self, subject: str, camera: str, frame: int) -> str:
        """A mask."""
        ...

    def write(self, folder: Path, footage: Footage) -> None:
        """Write all but images and masks."""
        ...

    def image_size(self, size: int) -> tuple[int, int]:
        """(width, height) of the images for --size."""
        return size, size

    def equip(self, views: list[View], rng: np.random.Generator) -> list[View]:
        """The cameras of a square rig as those of this data set: their shape, lenses, principal points."""
        width, height = self.image_size(views[0].height)
        return [off_centre(padded(view, width, height), draw_shift(rng)) for view in views]

    def moved(self, view: View, frame: int, frames: int) -> View:
        """Where a camera is at a frame of `frames`."""
        return view

    def has_image(self, frames: int, camera: str, frame: int) -> bool:
        """Whether an image of `frames` is there, or missing as images of the data set are."""
        return True

    def save_image(self, path: Path, rendered: RenderedImage) -> None:
        """Write an image."""
        save_jpeg(path, rendered.rgb)

    def finish(self, folder: Path, footage: Footage) -> None:
        """Do what is left when images and masks are there."""

    def save_mask(self, path: Path, rendered: RenderedImage) -> None:
        """Write a mask."""
        save_jpeg(path, rendered.cover)


def padded(view: View, width: int, height: int) -> View:
    """The same camera with its square image in the middle of a larger one: K's principal point moves along."""
    intrinsics = view.intrinsics.copy()
    intrinsics[:2, 2] += (width - view.width) / 2, (height - view.height) / 2
    return replace(view, intrinsics=intrinsics, width=width, height=height)


def draw_shift(rng: np.random.Generator) -> np.ndarray:
    """How far a principal point lies off the middle, a share of the image's height. [2]"""
    return rng.uniform(-0.006, 0.006, 2)


def off_centre(view: View, shift: np.ndarray) -> View:
    """The same camera with its principal point moved by `shift` [2], a share of the image's height."""
    intrinsics = view.intrinsics.copy()
    intrinsics[:2, 2] += shift * view.height
    return replace(view, intrinsics=intrinsics)


def save_jpeg(path: Path, pixels: np.ndarray) -> None:
    """An image [H, W, 3] or a mask [H, W] in [0, 1], without subsampling of its colours."""
    Image.fromarray(to_bytes(pixels)).save(path, quality=95, subsampling=0)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Bytes [H, W] as they are."""
    Image.fromarray(pixels).save(path)


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """[0, 1] to 0..255."""
    return np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def write_json(path: Path, content: object) -> None:
    """Write JSON, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), "utf-8")


@cache
def hand_components() -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the left and the right hand of the open stand-in for SMPL-X. [45, 45] each"""
    arrays = open_smplx()
    assert arrays.hands_componentsl is not None
    assert arrays.hands_componentsr is not None
    return arrays.hands_componentsl, arrays.hands_componentsr
