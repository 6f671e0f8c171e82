"""Photographs cut to the person, with what was found in them as lines over them: landmarks, mask, body.

Photograph and lines are without the lens. Lines are SVG, so that they stay sharp and a page can hide each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from PIL import Image

from hgg_pyg.data.clips import even_frames
from hgg_pyg.data.images import Window
from hgg_pyg.io.data_uris import image_uri
from hgg_pyg.kernels.raster import silhouette
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.prepare.rays import normalised
from hgg_pyg.prepare.report.silhouettes import (
    Overlaps,
    Views,
    box_of,
    posed_vertices,
    read_mask,
    read_photograph,
)

matplotlib.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path

WIDTH, HEIGHT = 300, 400  # pixels
_MOST = 60  # tiles, so that the page stays small
_A_CAMERA = 5
_MARGIN = 1.15
_LEAST_SHARE = 0.15  # of the image's height that is shown at least
_SEEN = 0.3  # confidence from which on landmarks are drawn
_QUALITY = 80
_BENT, _SPECK = 0.3, 4  # pixels: by which outlines may be simplified, and up to which parts of a mask have none


@dataclass(frozen=True)
class Mark:
    """A landmark in a tile."""

    x: float
    y: float
    used: bool
    name: str


@dataclass(frozen=True)
class Tile:
    """An image of a camera in a frame, `WIDTH` x `HEIGHT`."""

    frame: int
    photograph: str | None  # data URI; None where it cannot be read
    mask: str  # outlines as SVG's path, empty for none
    body: str
    marks: tuple[Mark, ...]
    bones: tuple[tuple[Mark, Mark, bool], ...]  # ends, and whether both are used
    text: str  # what it shows, in words
    caption: str


@dataclass(frozen=True)
class Strip:
    """Tiles of a camera."""

    camera: int
    tiles: tuple[Tile, ...]


def make_strips(prepared: Prepared, views: Views, overlap: Overlaps) -> tuple[Strip, ...]:
    """Evenly spaced frames of each camera, and the one in which body and mask overlap least.

    Where there are very many cameras, half of those shown are the worst, the others evenly spaced.
    """
    cameras = _cameras(overlap)
    wanted = min(_A_CAMERA, max(1, _MOST // max(len(cameras), 1)))
    undistorted = normalised(prepared.found.points2d[..., :2], prepared.calibration)
    ideal = np.concatenate([undistorted, np.ones_like(undistorted[..., :1])], -1)
    posed = cache(lambda frame: posed_vertices(prepared.body, prepared.pose, frame))
    strips = []
    for camera in cameras:
        iou = overlap.iou[:, camera]
        rows = even_frames(0, len(iou), wanted)
        worst = int(np.nanargmin(iou)) if np.isfinite(iou).any() else rows[0]
        if len(rows) > 1 and worst not in rows:
            rows = tuple(sorted((*even_frames(0, len(iou), wanted - 1), worst))) if wanted > 2 else (rows[0], worst)
        said = {row: f"{'lowest ' * (row == worst)}IoU {iou[row]:.2f}" for row in rows if np.isfinite(iou[row])}
        tiles = []
        for row in rows:
            frame = overlap.frames[row]
            fits = said.get(row, "no mask" if prepared.seen[frame, camera] else "not found")
            tiles.append(_tile(prepared, views, frame, camera, posed(frame), ideal[frame, camera], fits))
        strips.append(Strip(camera, tuple(tiles)))
    return tuple(strips)


def _cameras(overlap: Overlaps) -> list[int]:
    """Those that are shown, in order."""
    found = [of_camera.iou if of_camera else -1.0 for of_camera in overlap.of_cameras]
    worst = sorted(range(len(found)), key=lambda camera: found[camera])[: _MOST // 2]
    others = [camera for camera in range(len(found)) if camera not in worst]
    return sorted([*worst, *(others[number] for number in even_frames(0, len(others), _MOST - len(worst)))])


def _tile(
    prepared: Prepared, views: Views, frame: int, camera: int, vertices: np.ndarray, rays: np.ndarray, fits: str
) -> Tile:
    """rays: [J, 3] of the landmarks, one metre before the camera; fits: how the body does, in words."""
    found, faces, viewmat = prepared.found, prepared.body.faces.numpy(), views.viewmats[camera]
    K = views.Ks[camera]
    shown = np.nan_to_num(found.points2d[frame, camera, :, 2]) >= _SEEN
    shown |= found.used[frame, camera]
    window = _around(_in_pixels(vertices, viewmat, K), (rays @ K.T)[found.used[frame, camera], :2], prepared.size)
    K = views.window(camera, window, (WIDTH, HEIGHT))
    photograph = read_photograph(prepared, views, frame, camera, window, (WIDTH, HEIGHT))
    mask = None
    if prepared.seen[frame, camera]:
        mask = read_mask(prepared, views, frame, camera, window, (WIDTH, HEIGHT))
    places = np.where(shown[:, None], (rays @ K.T)[:, :2], np.nan)
    names = prepared.landmarks.points
    marks = {
        joint: Mark(round(float(x), 1), round(float(y), 1), bool(found.used[frame, camera, joint]), names[joint])
        for joint, (x, y) in enumerate(places)
        if np.isfinite(x + y) and -WIDTH < x < 2 * WIDTH and -HEIGHT < y < 2 * HEIGHT
    }
    bones = tuple(
        (marks[a], marks[b], marks[a].used and marks[b].used)
        for a, b in prepared.landmarks.bones
        if a in marks and b in marks
    )
    used = sum(mark.used for mark in marks.values())
    name, time = prepared.calibration.names[camera], float(prepared.times[frame])
    text = f"{name}, frame {frame}: {fits}; {used} landmarks used, {len(marks) - used} dropped"
    return Tile(
        frame=frame,
        photograph=None if photograph is None else image_uri(Image.fromarray(photograph), "JPEG", quality=_QUALITY),
        mask="" if mask is None else _outline(mask),
        body=_outline(silhouette(vertices, faces, viewmat, K, (WIDTH, HEIGHT)).astype(np.float32)),
        marks=tuple(marks.values()),
        bones=bones,
        text=text,
        caption=f"frame {frame}, {time:.2f} s; {fits}",
    )


def _in_pixels(points: np.ndarray, viewmat: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Places in the undistorted image, [N, 3] -> [N, 2]; NaN behind the camera."""
    seen = points @ viewmat[:3, :3].T + viewmat[:3, 3]
    with np.errstate(all="ignore"):
        plane = np.where(seen[:, 2:] > 0, seen / seen[:, 2:], np.nan)
    return (plane @ K.T)[:, :2]


def _around(body: np.ndarray, landmarks: np.ndarray, size: tuple[int, int]) -> Window:
    """The part of an image that is worth showing, in a tile's shape: around landmarks and body, else all of it."""
    box = box_of([part.clip(0, size) for part in (body, landmarks)])
    if box is None or box[2] - box[0] < 1 or box[3] - box[1] < 1:
        box = (0.0, 0.0, float(size[0]), float(size[1]))
    left, top, right, bottom = box
    tall = max((bottom - top), (right - left) * HEIGHT / WIDTH) * _MARGIN
    tall = max(tall, _LEAST_SHARE * size[1])
    wide = tall * WIDTH / HEIGHT
    return Window((left + right - wide) / 2, (top + bottom - tall) / 2, wide, tall)


@cache
def _axes() -> Axes:
    """Where outlines are computed; nothing is drawn there."""
    return Figure().subplots()


def _outline(values: np.ndarray) -> str:
    """Where values [H, W] pass a half, as SVG's path in pixels with centres at +0.5."""
    padded = np.pad(values, 1)  # so that lines close at the edges
    if not (padded > 0.5).any():
        return ""
    contour = _axes().contour(padded, [0.5])
    contour.remove()
    lines = []
    for line in contour.allsegs[0]:
        path = Path(line - 0.5)
        path.should_simplify, path.simplify_threshold = True, _BENT
        ends = np.asarray(path.cleaned(simplify=True).vertices)[:-1]  # behind the last is a mark of the end
        if np.ptp(line, axis=0).max() > _SPECK:
            lines.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ends) + "Z")
    return "".join(lines)
