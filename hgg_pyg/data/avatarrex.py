"""The AvatarReX / THuman4 layout: one folder a subject, one folder a camera, masks in mask/pha below it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from hgg_pyg.data.calibration import Calibration, read_calibration
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.images import fitted_size, header_size
from hgg_pyg.data.smpl_params import read_smpl_params
from hgg_pyg.types import UserError

MISSING_LIST = "missing_img_files.txt"
_FRAME_FILE = re.compile(r"(\d{8})\.jpg")
_Stamp = tuple[int, int]  # size in bytes, time of change in nanoseconds


def open_avatarrex(folder: Path, image_size: int | None = None) -> Capture:
    """Open and check one subject; every image and mask must be there, with a header of the right size.

    ::

        calibration_full.json      {camera: {K, R, T, imgSize?, distCoeff?}}, or calibration.json
        <camera>/%08d.jpg          images
        <camera>/mask/pha/%08d.jpg masks, 8 bit
        smpl_params.npz            one row for each frame number found, in ascending order
        missing_img_files.txt      optional: images known to be missing, a path a line; their frames are left out

    Args:
        folder: the subject's folder.
        image_size: longest side at which images are to be read, if they are larger.

    Raises:
        UserError: the first thing found wrong, with the file, what was expected and what was found.
    """
    calibration_path = _calibration_path(folder)
    calibration = read_calibration(calibration_path)
    images = {name: _list_frames(folder / name) for name in calibration.names}
    masks = {name: _list_frames(folder / name / "mask" / "pha") for name in calibration.names}
    listed = _listed_missing(folder / MISSING_LIST, calibration.names)
    numbers = sorted(listed.union(*images.values()))
    poses = read_smpl_params(folder / "smpl_params.npz")
    if len(poses) != len(numbers):
        raise UserError(
            f"{folder / 'smpl_params.npz'}: expected one row for each frame: {len(numbers)} frame numbers among the "
            f"images (those listed in {MISSING_LIST} included), found {len(poses)} rows"
        )
    kept = [row for row, number in enumerate(numbers) if number not in listed]
    frames = tuple(numbers[row] for row in kept)
    if not frames:
        raise UserError(f"{folder}: expected at least one frame with all its images, found none")
    _require_files(folder, calibration.names, frames, images, masks)
    image_paths = _paths(folder, calibration.names, frames, "")
    mask_paths = _paths(folder, calibration.names, frames, "mask/pha")
    size = _common_size(image_paths, mask_paths, calibration, calibration_path)
    loaded = fitted_size(*size, image_size)
    digest = hashlib.sha256(f"avatarrex 1 {loaded}".encode())
    for part in (calibration_path.read_bytes(), (folder / "smpl_params.npz").read_bytes()):
        digest.update(hashlib.sha256(part).digest())
    for name in calibration.names:
        digest.update(repr([(name, n, images[name][n], masks[name][n]) for n in frames]).encode())
    return Capture(
        name=folder.resolve().name,
        root=folder,
        camera_names=calibration.names,
        frames=frames,
        cameras=calibration.cameras(size, loaded),
        poses=poses[kept],
        image_paths=image_paths,
        mask_paths=mask_paths,
        dropped_frames=len(numbers) - len(frames),
        digest=digest.hexdigest()[:16],
    )


def _calibration_path(folder: Path) -> Path:
    for name in ("calibration_full.json", "calibration.json"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: expected calibration_full.json or calibration.json, found neither")


def _list_frames(folder: Path) -> dict[int, _Stamp]:
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; expected a folder of files 00000000.jpg, 00000001.jpg, ...")
    frames: dict[int, _Stamp] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if (match := _FRAME_FILE.fullmatch(entry.name)) and entry.is_file():
                status = entry.stat()
                frames[int(match[1])] = (status.st_size, status.st_mtime_ns)
    if not frames:
        raise UserError(f"{folder}: expected files 00000000.jpg, 00000001.jpg, ..., found none")
    return frames


def _listed_missing(path: Path, cameras: Sequence[str]) -> set[int]:
    """Frame numbers with an image listed as missing; lines about cameras that are not calibrated do not matter."""
    if not path.is_file():
        return set()
    missing: set[int] = set()
    for count, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        parts = line.strip().replace("\\", "/").split("/")
        if parts == [""]:
            continue
        match = _FRAME_FILE.fullmatch(parts[-1])
        if match is None or len(parts) < 2:
            raise UserError(f"{path}: line {count}: expected <camera>/00000000.jpg, found {line.strip()[:60]}")
        if any(part in cameras for part in parts[:-1]):
            missing.add(int(match[1]))
    return missing


def _require_files(
    folder: Path,
    cameras: Sequence[str],
    frames: Iterable[int],
    images: dict[str, dict[int, _Stamp]],
    masks: dict[str, dict[int, _Stamp]],
) -> None:
    for frame in frames:
        for camera in cameras:
            if frame not in images[camera]:
                raise UserError(
                    f"{folder / camera / f'{frame:08d}.jpg'}: this image is missing, though other cameras have the "
                    f"frame; list {camera}/{frame:08d}.jpg in {MISSING_LIST} to leave the frame out"
                )
            if frame not in masks[camera]:
                raise UserError(f"{folder / camera / 'mask' / 'pha' / f'{frame:08d}.jpg'}: this mask is missing")


def _paths(folder: Path, cameras: Sequence[str], frames: Sequence[int], inside: str) -> tuple[tuple[Path, ...], ...]:
    folders = [folder / camera / inside for camera in cameras]
    return tuple(tuple(place / f"{frame:08d}.jpg" for place in folders) for frame in frames)


def _common_size(
    image_paths: tuple[tuple[Path, ...], ...],
    mask_paths: tuple[tuple[Path, ...], ...],
    calibration: Calibration,
    calibration_path: Path,
) -> tuple[int, int]:
    """The one (width, height) of all images and masks, from their headers."""
    first = image_paths[0][0]
    with ThreadPoolExecutor(max_workers=8) as pool:
        images, masks = list(chain(*image_paths)), list(chain(*mask_paths))
        image_sizes, mask_sizes = list(pool.map(header_size, images)), list(pool.map(header_size, masks))
    expected = image_sizes[0]
    for image_path, mask_path, image, mask in zip(images, masks, image_sizes, mask_sizes, strict=True):
        if image != expected:
            raise UserError(
                f"{image_path}: expected {_text(expected)} pixels like {first}, found {_text(image)}; "
                "all images of a capture must have one size"
            )
        if mask != image:
            raise UserError(f"{mask_path}: expected {_text(image)} pixels like its image, found {_text(mask)}")
    for name, stated in zip(calibration.names, calibration.sizes, strict=True):
        if stated is not None and stated != expected:
            raise UserError(
                f"{calibration_path}: camera '{name}': key 'imgSize': expected {_text(expected)} like the images, "
                f"found {_text(stated)}; scale K to the images, or put the full-size images back"
            )
    return expected


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
