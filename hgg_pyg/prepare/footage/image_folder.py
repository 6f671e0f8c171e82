"""One camera's images as files of a folder: the number in a file's name says which frame it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hgg_pyg.data.layouts.base import FrameNames, Listing, list_files
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.footage.clock import Timeline
from hgg_pyg.types import UserError

_NAMES = FrameNames("00000000.jpg", suffixes=("jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp"))
_LARGEST = 2**53  # that a time is exact for


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images, turned upright as their EXIF data say."""

    camera: str
    path: Path
    rate: float
    """images a second; where nobody knows, 1, and a second is a frame"""

    @cached_property
    def _listing(self) -> Listing:
        found = list_files(self.path, _NAMES)
        if not found.names:
            raise UserError(f"{self.path}: {found.unlike or f'expected images like {_NAMES.example}, found none'}")
        return found

    @cached_property
    def _numbers(self) -> list[int]:
        numbers = sorted(self._listing.names)
        if numbers[-1] > _LARGEST:
            name = shown(self._listing.names[numbers[-1]])
            raise UserError(f"{self.path}: expected numbers of frames up to {_LARGEST:,}, found {name}")
        return numbers

    def timeline(self) -> Timeline:
        """Frame n was taken n frames after frame 0; where only each fifth has a file, the rate is a fifth.

        Raises:
            UserError: there is no image, none that can be read, or a number is beyond 2^53.
        """
        first = next(self.images(range(len(self._numbers))), None)
        if first is None:
            raise UserError(f"{self.path}: expected images, found none that can be read")
        height, width = first[1].shape[:2]
        times = np.array(self._numbers, np.float64) / self.rate
        numbers = np.array(self._numbers)
        return Timeline.of(self.camera, times, self.rate, size=(width, height), numbers=numbers)

    def images(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Read some of the images; those that are broken do not come. See `Source.images`."""
        for place in wanted:
            path = self.path / self._listing.names[self._numbers[place]]
            try:
                with Image.open(path) as image:
                    pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
            yield int(place), pixels

    def stamp(self) -> str:
        """Names, sizes and times of change of its files."""
        files = [f"{name} {self._listing.stamps[number]}" for number, name in sorted(self._listing.names.items())]
        return "\n".join(files)
