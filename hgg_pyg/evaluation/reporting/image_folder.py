"""Rendered images of any method in a folder: FOLDER/SUBJECT/TASK/CAMERA/FRAME.png.

SUBJECT is a test subject's name, TASK `novel_view` or `novel_pose`, CAMERA a camera's name (characters other than
letters, digits, `.`, `_` and `-` written as `_`), FRAME the frame's number with eight digits. Images are 8-bit RGB on
white, of the size of what is compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hgg_pyg.io.files import write_atomically, write_text, writing
from hgg_pyg.types import Cameras, UserError


@dataclass(frozen=True)
class Wanted:
    """One test image that a method is to render."""

    subject: str
    task: str
    camera: str
    frame: int  # number, as in the file names
    size: tuple[int, int]  # width, height

    @property
    def path(self) -> Path:
        """Where it lies in a folder."""
        names = (self.subject, self.task.replace(" ", "_"), re.sub(r"[^\w.-]", "_", self.camera))
        return Path(*names) / f"{self.frame:08d}.png"


@dataclass(frozen=True)
class ImageFolder:
    """A method of which there are only images."""

    name: str
    folder: Path

    def check_folder(self) -> None:
        """Raises UserError where there is no such folder."""
        if not self.folder.is_dir():
            found = "a file" if self.folder.exists() else "nothing"
            raise UserError(f"--method {self.name}={self.folder}: expected a folder of images, found {found}")

    def check(self, wanted: Sequence[Wanted]) -> tuple[list[Wanted], list[str]]:
        """What is missing, without reading pixels. A task of which there is no image at all is not asked for.

        Returns:
            missing images, and tasks that the method takes no part in.

        Raises:
            UserError: no such folder, none of its images is wanted, or one has another size or kind.
        """
        self.check_folder()
        there = {item for item in wanted if (self.folder / item.path).is_file()}
        if not there and wanted:
            first = self.folder / wanted[0].path
            raise UserError(f"--method {self.name}: expected {len(wanted)} images, {first} the first, found none")
        for item in wanted:
            if item in there:
                self._open(item).close()
        absent = sorted({item.task for item in wanted} - {item.task for item in there})
        return [item for item in wanted if item not in there and item.task not in absent], absent

    def read(self, item: Wanted) -> np.ndarray:
        """An image's colours. [H, W, 3] float32 in [0, 1]

        Raises:
            UserError: it is missing, broken, or has another size or kind.
        """
        with self._open(item) as image:
            try:
                return np.asarray(image, dtype=np.float32) / 255
            except (OSError, SyntaxError) as error:
                raise UserError(f"{self.folder / item.path}: expected a whole image ({error})") from None

    def _open(self, item: Wanted) -> Image.Image:
        path = self.folder / item.path
        try:
            image = Image.open(path)
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"{path}: expected a PNG image ({error})") from None
        if image.size != item.size or image.mode != "RGB":
            width, height = item.size
            found = f"{image.width}x{image.height} {image.mode}"
            image.close()
            raise UserError(f"{path}: expected {width}x{height} pixels, 8-bit RGB on white, found {found}")
        return image


def parse_methods(texts: Sequence[str], taken: Sequence[str]) -> tuple[ImageFolder, ...]:
    """What `--method NAME=FOLDER ...` says.

    Args:
        texts: as on the command line.
        taken: names that other methods have.

    Raises:
        UserError: no name, no folder, a name that leads out of a folder, or one that is taken.
    """
    names, folders = [name.casefold() for name in taken], []
    for text in texts:
        name, equals, folder = text.partition("=")
        name = name.strip()
        if not (equals and name and folder):
            raise UserError(f"--method {text}: expected NAME=FOLDER")
        if name in (".", ".."):  # images are saved in a folder of this name
            raise UserError(f"--method {text}: expected a name that a folder can have, found '{name}'")
        if name.casefold() in names:
            raise UserError(f"--method {text}: expected a name of its own, found one that is taken: {', '.join(taken)}")
        names.append(name.casefold())
        folders.append(ImageFolder(name, Path(folder).expanduser()))
    return tuple(folders)


class SavedImages:
    """Writes ground truth and renders as folders that `--method` reads back, and `targets.json`, what to render.

    Args:
        folder: gets a folder per method, named by it; is made.

    Raises:
        UserError: it cannot be made, or later: it was removed, or the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._targets: list[dict[str, object]] = []

    def add_images(self, method: str, names: Sequence[Wanted], images: np.ndarray) -> None:
        """Write V images of a method. [V, H, W, 3] uint8"""
        if not self.folder.is_dir():  # it would be made anew, without the images before
            raise UserError(f"{self.folder}: expected the folder of images, found nothing: it was removed meanwhile")
        for name, image in zip(names, images, strict=True):
            path = self.folder / re.sub(r"[^\w.-]", "_", method) / name.path
            write_atomically(path, Image.fromarray(image).save)

    def add_cameras(self, names: Sequence[Wanted], cameras: Cameras) -> None:
        """Note how V images are seen."""
        rows = zip(names, cameras.Ks.tolist(), cameras.viewmats.tolist(), strict=True)
        for name, K, viewmat in rows:
            about = {"subject": name.subject, "task": name.task, "camera": name.camera, "frame": name.frame}
            self._targets.append({"file": str(name.path), **about, "K": K, "world_to_camera": viewmat})

    def close(self) -> None:
        """Write `targets.json`."""
        about = "images on white; K in pixels, centres of pixels at +0.5; world_to_camera 4x4, metres, x right, y down"
        text = json.dumps({"about": about, "targets": self._targets}, indent=1)
        write_text(self.folder / "targets.json", text)
