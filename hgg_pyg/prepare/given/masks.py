"""Masks that somebody brings: a folder a camera, a file a frame, called by the frame's number as images are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hgg_pyg.data.capture import ImageFiles
from hgg_pyg.data.images import header_size, read_pixels
from hgg_pyg.data.layouts.base import FrameNames, Listing, list_files, list_folders
from hgg_pyg.data.mask_values import with_meaning
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_NAMES = FrameNames("CAMERA/000012.png", suffixes=("png", "jpg", "jpeg"))


@dataclass(frozen=True, eq=False)
class GivenMasks:
    """Masks of V cameras, by the number of the frame in each one's footage."""

    listings: tuple[Listing, ...]  # V
    sizes: tuple[tuple[int, int], ...]  # V, (width, height)
    labels: bool  # any value but 0 is the person
    white: int | None  # the value that is all person, see `read_pixels`

    def read(self, frame: int, camera: int) -> np.ndarray | None:
        """A mask [H, W] uint8, 255 the person; None if there is none of this frame. Camera by position.

        Raises:
            UserError: the file is broken, or of another size than the footage.
        """
        listing, size = self.listings[camera], self.sizes[camera]
        if frame not in listing.names:
            return None
        path = listing.folder / listing.names[frame]
        pixels = read_pixels(path, "labels" if self.labels else "L", size, size, white=self.white)
        return np.round(pixels * 255).astype(np.uint8)

    def missing(self, frames: np.ndarray) -> np.ndarray:
        """Of which images there is none. [F, V] -> [F, V] bool"""
        return np.array(
            [[int(n) not in one.names for n, one in zip(row, self.listings, strict=True)] for row in frames]
        )


def read_masks(folder: Path, cameras: Sequence[str], sizes: Sequence[tuple[int, int]]) -> GivenMasks:
    """Find the masks of all cameras; what their numbers mean is told from some of them, see `mask_values`.

    Args:
        folder: with a folder for each camera.
        cameras: V names.
        sizes: (width, height) of each camera's footage.

    Raises:
        UserError: no folder, or no mask, of a camera; two files of one frame; or a mask of another size.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of masks, found {'a file' if folder.exists() else 'nothing'}")
    listings = []
    for camera in cameras:
        listing = list_files(folder / camera, _NAMES)
        if not listing.names:
            there = shown(", ".join(list_folders(folder)), 200) or "no folders"
            why = listing.unlike or f"found {there}"
            raise UserError(f"{folder}: expected masks of camera '{camera}' such as {camera}/000012.png; {why}")
        listings.append(listing)
    for listing, size in zip(listings, sizes, strict=True):
        path = listing.folder / listing.names[min(listing.names)]
        if (found := header_size(path)) != tuple(size):
            raise UserError(
                f"{path}: expected {size[0]}x{size[1]} pixels, as the footage has, found {found[0]}x{found[1]}"
            )
    count = min(len(listing.names) for listing in listings)
    names = tuple(tuple(one.names[number] for number in sorted(one.names)[:count]) for one in listings)
    meant = with_meaning(ImageFiles(tuple(listing.folder for listing in listings), names))
    return GivenMasks(tuple(listings), tuple((w, h) for w, h in sizes), meant.labels, meant.white)
