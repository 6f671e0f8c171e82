"""Cameras from images of a chessboard: lenses from a board that is shown around, places from one that lies still.

A folder has, as Pose2Sim lays it out, `intrinsics` with a folder of images or a video for each camera, and `extrinsics`
with one image or a video for each camera of one board that does not move. Z. Zhang, A flexible new technique for camera
calibration, PAMI 2000.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from hgg_pyg.data.calibration import Calibration, Entry, make_calibration
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.calibrations.board import Board
from hgg_pyg.prepare.extra import opencv
from hgg_pyg.prepare.footage.source import VIDEO_SUFFIXES
from hgg_pyg.prepare.footage.video import VideoSource
from hgg_pyg.types import UserError

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_NOT_OF_THE_NAME = re.compile(
    r"(?:^|[\W_]+)(?:int|ext|intrinsics?|extrinsics?|img|imgs|images?|calib|calibration|board|chessboard)(?=$|[\W_])",
    re.IGNORECASE,
)
_FROM_A_VIDEO = 40  # frames, spread over it
_STILL = 5  # frames of a video of a board that does not move, of which the first with the board counts
_FEWEST = 4  # images with the board: Zhang's least is three, without anything to check them by
_ENOUGH = 10  # images, below which it is said that more would be better
_OFF = 3.0  # times the median error of the images, above which one is left out

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True, eq=False)
class BoardLens:
    """What images of a board say of one camera's lens."""

    K: np.ndarray  # [3, 3] pixels, centres at +0.5
    distortion: np.ndarray  # [5] k1 k2 p1 p2 k3, of which the last three are zero
    size: tuple[int, int]  # (width, height) of the images
    error: float  # pixels, root mean square of the corners
    used: int  # images
    images: int  # that were looked at


def find_board_footage(folder: Path, part: str) -> dict[str, tuple[Path, ...]]:
    """Images, or a video, for each camera.

    Args:
        folder: of the calibration.
        part: "intrinsics" or "extrinsics"; the folder of this name in it is looked into, for intrinsics itself where
            there is none.

    Returns:
        Files by camera, called as its folder or file without `int`, `ext`, `img` and the like; none if there is no
        such folder.

    Raises:
        UserError: no folder, or two folders of one camera.
    """
    if not folder.is_dir():
        raise UserError(f"--board-images {folder}: expected a folder of images of the board, found none")
    inside = folder / part
    if not inside.is_dir():
        if part != "intrinsics" or (folder / "extrinsics").is_dir():
            return {}
        inside = folder
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(inside.iterdir()):
        if path.name.startswith("."):
            continue
        files = _footage(sorted(path.iterdir())) if path.is_dir() else _footage([path])
        if not files:
            continue
        name = _NOT_OF_THE_NAME.sub("", path.name if path.is_dir() else path.stem).strip("_- .") or path.stem
        if name in found:
            raise UserError(
                f"{inside}: expected one folder, image or video for each camera, found two for '{name}': "
                f"{found[name][0].relative_to(inside)} and {files[0].relative_to(inside)}"
            )
        found[name] = files
    return found


def lenses_from_board(footage: Mapping[str, Sequence[Path]], board: Board) -> dict[str, BoardLens]:
    """Intrinsics of each camera from a board that is shown around.

    Raises:
        UserError: too few images of a camera show the whole board, or they are of several sizes.
    """
    total = {name: sum(_count(path) for path in files) for name, files in footage.items()}
    with tqdm(total=sum(total.values()), desc="chessboards", unit="image", leave=False) as bar:
        return {name: _lens(name, files, board, bar) for name, files in footage.items()}


def cameras_from_board(
    footage: Mapping[str, Sequence[Path]], lenses: Mapping[str, BoardLens], board: Board
) -> Calibration:
    """Where cameras stand, from one board that does not move: its first corner is the origin, and z points up from it.

    Args:
        footage: by camera, an image or a video of the board where it lies.
        lenses: by camera.
        board: whose numbers of corners differ by an odd number, so that all cameras know which corner is the first.

    Raises:
        UserError: another board, a camera without lens or image, images of another size, or no board in one.
    """
    if not board.one_way_round:
        raise UserError(
            f"--board {board.columns}x{board.rows}: expected one odd and one even number of corners, as in 9x6, to "
            "know which corner is the first; found a board that looks the same turned by 180 degrees"
        )
    if missing := sorted(set(lenses) - set(footage)):
        raise UserError(
            f"extrinsics: expected an image of the board from each camera, found none of {shown(', '.join(missing))}"
        )
    entries = []
    for name, lens in tqdm(lenses.items(), desc="boards that lie still", unit="camera", leave=False):
        corners, size = _standing(name, footage[name], board)
        if size != lens.size:
            raise UserError(
                f"{footage[name][0]}: expected an image of {lens.size[0]}x{lens.size[1]}, as those for the lens of "
                f"camera '{name}', found {size[0]}x{size[1]}"
            )
        R, T = _place(board, corners, lens)
        entries.append(Entry(name, f"camera '{name}' by the board", lens.K, R, T, lens.distortion, size))
    return make_calibration(entries)


def _lens(name: str, files: Sequence[Path], board: Board, bar: tqdm) -> BoardLens:
    found, sizes, looked_at = [], set(), 0
    for image in _images(files, _FROM_A_VIDEO):
        looked_at += 1
        sizes.add((image.shape[1], image.shape[0]))
        corners = board.find(image)
        if corners is not None:
            found.append(corners)
        bar.update()
    if len(sizes) > 1:
        said = " and ".join(f"{width}x{height}" for width, height in sorted(sizes)[:3])
        raise UserError(f"{files[0].parent}: expected images of one size, found {said}")
    if len(found) < _FEWEST:
        raise UserError(
            f"camera '{name}': expected at least {_FEWEST} images that show all {board.columns}x{board.rows} inner "
            f"corners of the board, found {len(found)} of {looked_at} in {files[0].parent}: are the corners counted "
            "right, those between squares?"
        )
    (size,) = sizes
    K, distortion, errors = _calibrate(board, found, size)
    kept = [corners for corners, error in zip(found, errors, strict=True) if error <= _OFF * np.median(errors)]
    if _FEWEST <= len(kept) < len(found):
        K, distortion, errors = _calibrate(board, kept, size)
        found = kept
    if len(found) < _ENOUGH:
        log.warning(
            "camera '%s': %d images of the board; %d or more, near the corners of the image too and tilted, are better",
            name,
            len(found),
            _ENOUGH,
        )
    return BoardLens(K, distortion, size, float(np.sqrt(np.mean(np.square(errors)))), len(found), looked_at)


def _calibrate(
    board: Board, corners: Sequence[np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K [3, 3], distortion [5], and the error of each image in pixels."""
    cv2 = opencv("--board: to calibrate")
    points = [board.points.astype(np.float32)] * len(corners)
    pixels = [(each - 0.5).astype(np.float32)[:, None] for each in corners]
    # Tangential distortion and k3 of lenses of today are smaller than what a few boards can tell
    flags = cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
    _, K, bends, _, _, _, _, errors = cv2.calibrateCameraExtended(points, pixels, size, None, None, flags=flags)
    K = K.copy()
    K[:2, 2] += 0.5
    return K, np.pad(bends.reshape(-1), (0, 5))[:5], errors.reshape(-1)


def _place(board: Board, corners: np.ndarray, lens: BoardLens) -> tuple[np.ndarray, np.ndarray]:
    """R [3, 3] and T [3] of a camera that sees the board's corners."""
    cv2 = opencv("--board: to calibrate")
    K = lens.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    seen = (corners - 0.5)[:, None]
    # A plane has two solutions that look alike; the one with the smaller error is refined.
    _, vectors, places, _ = cv2.solvePnPGeneric(board.points, seen, K, lens.distortion, flags=cv2.SOLVEPNP_IPPE)
    vector, place = cv2.solvePnPRefineLM(board.points, seen, K, lens.distortion, vectors[0], places[0])
    return cv2.Rodrigues(vector)[0], place.reshape(3)


def _standing(name: str, files: Sequence[Path], board: Board) -> tuple[np.ndarray, tuple[int, int]]:
    """Corners of the board in the first image that shows it, and the image's size."""
    for image in _images(files, _STILL):
        corners = board.find(image)
        if corners is not None:
            return corners, (image.shape[1], image.shape[0])
    raise UserError(
        f"{files[0]}: expected camera '{name}' to see all {board.columns}x{board.rows} inner corners of the board that "
        "lies still, found no board"
    )


def _footage(paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.is_file() and (_is_video(path) or path.suffix.lower() in _IMAGES))


def _is_video(path: Path) -> bool:
    return path.suffix.lower().lstrip(".") in VIDEO_SUFFIXES


def _count(path: Path) -> int:
    return _FROM_A_VIDEO if _is_video(path) else 1


def _images(files: Sequence[Path], most: int) -> Iterator[np.ndarray]:
    """Upright images [H, W, 3] uint8; of a video so many at most. What cannot be read does not come."""
    for path in files:
        if _is_video(path):
            source = VideoSource(path.stem, path)
            frames = len(source.timeline().times)
            wanted = np.unique(np.linspace(0, frames - 1, min(frames, most)).round().astype(int))
            yield from (image for _, image in source.images(wanted.tolist()))
            continue
        try:
            with Image.open(path) as image:
                pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            log.warning("%s: left out: it cannot be read", path)
            continue
        yield pixels
