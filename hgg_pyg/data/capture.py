"""A capture: one person filmed by calibrated cameras, with a body pose a frame. Finding captures and their splits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from hgg_pyg.data.images import read_pixels
from hgg_pyg.types import BodyPose, Cameras, UserError

SPLITS_FILE = "splits.json"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Capture:
    """F frames of one subject from V cameras, all images of one size. Nothing is decoded before it is asked for."""

    name: str
    root: Path
    camera_names: tuple[str, ...]  # V
    frames: tuple[int, ...]  # F frame numbers as in the file names, ascending
    cameras: Cameras  # V, at the size that `image` returns
    poses: BodyPose  # F rows
    image_paths: tuple[tuple[Path, ...], ...]  # F x V
    mask_paths: tuple[tuple[Path, ...], ...]  # F x V
    dropped_frames: int  # frames left out because an image of theirs is listed as missing
    digest: str  # of everything a result computed from this capture depends on: the key of a cache

    def image(self, frame: int, camera: int) -> np.ndarray:
        """The colours of a frame (by position, not number) from a camera. [H, W, 3] float32 in [0, 1]

        Raises:
            UserError: the file is broken.
        """
        return read_pixels(self.image_paths[frame][camera], "RGB", (self.cameras.width, self.cameras.height))

    def mask(self, frame: int, camera: int) -> np.ndarray:
        """How much of each pixel the person covers. [H, W] float32 in [0, 1]

        Raises:
            UserError: the file is broken.
        """
        return read_pixels(self.mask_paths[frame][camera], "L", (self.cameras.width, self.cameras.height))


@dataclass(frozen=True)
class CaptureSet:
    """The captures of a data folder by split, each split in the order of `splits.json` or of the names."""

    train: tuple[Capture, ...]
    val: tuple[Capture, ...]
    test: tuple[Capture, ...]
    shared_subjects: bool  # too few subjects to part: every split holds all of them


def open_captures(data: Path, image_size: int | None = None) -> CaptureSet:
    """Open one subject's folder, or a folder of subjects with an optional `splits.json`.

    Without `splits.json`, subjects are parted by sorted name: of n >= 3 the last max(1, n // 6) are for testing, the
    max(1, n // 12) before them for validation, the others for training. One or two subjects are in every split.

    Args:
        data: the folder.
        image_size: images with a longer side than this are shrunk to it, and the intrinsics with them; never enlarged.

    Raises:
        UserError: the first thing found wrong with the folder, `splits.json` or a capture.
    """
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size: expected at least 1 pixel, found {image_size}")
    folders = find_subjects(data)
    splits = _read_splits(data / SPLITS_FILE, folders) if data not in folders.values() else None
    shared = splits is None and len(folders) < 3
    splits = splits or _default_splits(sorted(folders))
    opened = {name: _open(folders[name], image_size) for name in dict.fromkeys(chain(*splits.values()))}
    parts = {split: tuple(opened[name] for name in names) for split, names in splits.items()}
    return CaptureSet(**parts, shared_subjects=shared)


def find_subjects(data: Path) -> dict[str, Path]:
    """Subject folders by name: `data` itself if it is one, else those of its folders that are.

    Raises:
        UserError: no such folder, or no subject in it.
    """
    if not data.is_dir():
        raise UserError(f"{data}: expected a folder of captures, found {'a file' if data.exists() else 'nothing'}")
    if _is_subject(data):
        return {data.resolve().name: data}
    folders = {path.name: path for path in sorted(data.iterdir()) if path.is_dir() and _is_subject(path)}
    if not folders:
        found = ", ".join(sorted(path.name for path in data.iterdir())[:5]) or "an empty folder"
        raise UserError(
            f"{data}: expected calibration_full.json (one subject), or folders that have one (many subjects); "
            f"found {found}"
        )
    return folders


def _is_subject(folder: Path) -> bool:
    # One of its two files is enough to be taken for a capture, so that a missing other one is reported, not passed by.
    return any((folder / name).is_file() for name in ("calibration_full.json", "calibration.json", "smpl_params.npz"))


def _open(folder: Path, image_size: int | None) -> Capture:
    from hgg_pyg.data.avatarrex import open_avatarrex  # here, since every layout's module imports Capture from this one

    return open_avatarrex(folder, image_size)


def _default_splits(names: list[str]) -> dict[str, list[str]]:
    count = len(names)
    if count < 3:
        return dict.fromkeys(SPLITS, names)
    test = count - max(1, count // 6)
    val = test - max(1, count // 12)
    return {"train": names[:val], "val": names[val:test], "test": names[test:]}


def _read_splits(path: Path, folders: dict[str, Path]) -> dict[str, list[str]] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or set(content) != set(SPLITS):
        found = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path}: expected the keys train, val and test, found {found or 'none'}")
    seen: dict[str, str] = {}
    for split in SPLITS:
        names = content[split]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: key '{split}': expected a list of subject names, found {json.dumps(names)[:60]}")
        for name in names:
            if name not in folders:
                raise UserError(f"{path}: key '{split}': no subject '{name}'; found {', '.join(sorted(folders))}")
            if name in seen:
                raise UserError(f"{path}: subject '{name}' is in '{seen[name]}' and again in '{split}'; expected once")
            seen[name] = split
    if not seen:
        raise UserError(f"{path}: expected at least one subject, found three empty lists")
    return {split: content[split] for split in SPLITS}
