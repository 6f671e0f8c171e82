"""The posed body rendered over images, for a person to judge."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, binary_erosion

from hgg_pyg.capture_check.examination import Examination
from hgg_pyg.capture_check.scene import Scene, at_size, overlap_of
from hgg_pyg.data.capture import Capture
from hgg_pyg.io.files import write_atomically
from hgg_pyg.kernels.raster import silhouette, surface
from hgg_pyg.types import UserError

_COLUMNS, _ROWS = 6, 3
_TILE = (240, 320)  # width and height, pixels
_STRIP, _GAP, _EDGE = 24, 6, 16  # pixels: the label under a tile, between tiles, around the sheet
_BODY, _OUTLINE = np.array([0.25, 0.55, 1.0]), np.array([1.0, 0.45, 0.0])
_OPAQUE = 0.6  # of the body
_BLANK = 0.85  # grey of what lies outside the image
_GOOD, _DOUBTFUL, _BAD = (0, 120, 40), (190, 110, 0), (200, 0, 0)


@dataclass(frozen=True)
class Tile:
    """An image with a line under it."""

    image: Image.Image
    label: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Block:
    """A heading and rows of tiles under it."""

    heading: tuple[tuple[str, int, tuple[int, int, int]], ...]  # text, size, colour
    rows: tuple[tuple[Tile, ...], ...]


def save_sheet(path: Path, examinations: Sequence[Examination], image_size: int) -> None:
    """Render the body over images of several cameras (columns) and frames (rows), whole subjects below each other.

    Where a likely fault is named, a row shows the body as it would lie without it.

    Args:
        path: of the PNG file.
        examinations: of subjects that could be opened.
        image_size: longest side at which images are read, pixels.
    """
    rows = _ROWS if len(examinations) == 1 else 1
    blocks = [block for examination in examinations for block in _blocks(examination, rows, image_size)]
    sheet = compose(blocks)
    write_atomically(path, lambda p: sheet.save(p))


def _blocks(e: Examination, rows: int, image_size: int) -> list[Block]:
    assert e.capture is not None
    assert e.scene is not None
    capture, scene = at_size(e.capture, image_size), e.scene
    columns = _chosen_cameras(e)
    frames = _spread(len(e.shown_frames), rows)
    color = _BAD if not e.trainable else _DOUBTFUL if e.findings else _GOOD
    heading = [(f"{e.name} ({e.layout}): {e.verdict}", 20, color)]
    if e.overlap is not None:
        heading.append((f"all {len(e.overlaps)} cameras looked at, median: {e.overlap}", 15, (60, 60, 60)))
    heading += [(finding.text, 15, _BAD if finding.serious else _DOUBTFUL) for finding in e.findings]
    tiles = tuple(tuple(_tile(e, capture, scene, t, v) for v in columns) for t in frames)
    blocks = [Block(tuple(heading), tiles)]
    likely = next((d for d in e.diagnoses if all(fault.family != "images" for fault in d.faults)), None)
    if likely is not None:
        mended = likely.mend(scene)
        text = f"How the body would lie without the likely fault ({likely.name}): {likely.after}"
        row = tuple(_tile(e, capture, mended, frames[0], v) for v in columns)
        blocks.append(Block(((text, 17, _GOOD),), (row,)))
    return blocks


def _chosen_cameras(e: Examination) -> list[int]:
    """Cameras spread over all, and those that disagree with the others, in order."""
    odd = [item.camera for item in e.odd][: _COLUMNS - 1]
    others = [view for view in range(len(e.overlaps)) if view not in odd]
    return sorted([*odd, *(others[i] for i in _spread(len(others), _COLUMNS - len(odd)))])


def _spread(count: int, wanted: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist() if count else []


def _tile(e: Examination, capture: Capture, scene: Scene, t: int, v: int) -> Tile:
    return overlay(capture, scene, t, v, e.shown_frames[t], e.shown_cameras[v])


def overlay(capture: Capture, scene: Scene, t: int, v: int, frame: int, camera: int) -> Tile:
    """The body, and the outline of the mask, over one image.

    Args:
        capture: read whole.
        scene: of the same capture.
        t, v: positions in the scene.
        frame, camera: the same ones' positions in the capture.
    """
    label = f"{capture.camera_names[camera]}, frame {capture.frames[frame]}"
    try:
        image, mask = capture.image(frame, camera), capture.mask(frame, camera) >= 0.5
    except UserError:
        return Tile(Image.new("RGB", _TILE, (120, 120, 120)), f"{label}: broken file", _BAD)
    size = capture.size()
    zoom = np.diag([size[0] / scene.size[0], size[1] / scene.size[1], 1.0])
    K, vertices, viewmat = zoom @ scene.Ks[v], scene.vertices[t], scene.viewmats[v]
    box = _box(mask | silhouette(vertices, scene.faces, viewmat, K, size), size)
    rendered = _cut(image, box, _BLANK)
    # At the tile's own size, so that the body has sharp edges on coarse images too.
    K = np.array([[_TILE[0] / (box[2] - box[0])] * 3, [_TILE[1] / (box[3] - box[1])] * 3, [1.0] * 3]) * K
    K[:2, 2] -= np.array(box[:2]) * _TILE / (np.array(box[2:]) - box[:2])
    seen, shade = surface(vertices, scene.faces, _light(vertices, scene.faces, viewmat), viewmat, K, _TILE)
    rendered[seen] = (1 - _OPAQUE) * rendered[seen] + _OPAQUE * shade[seen, None] * _BODY
    inside = _cut(np.repeat(mask[..., None], 3, -1).astype(np.float32), box, 0.0)[..., 0] > 0.5
    rendered[np.logical_xor(binary_dilation(inside), binary_erosion(inside, border_value=1))] = _OUTLINE
    tile = Image.fromarray((rendered.clip(0, 1) * 255).round().astype(np.uint8))
    overlap = overlap_of(scene.counts(t, v))
    if overlap is None:
        return Tile(tile, f"{label}: no usable mask", _BAD)
    color = _GOOD if overlap.good else _BAD if overlap.bad else _DOUBTFUL
    return Tile(tile, f"{label}: " + (f"IoU {overlap.iou:.2f}" if seen.any() else "no body"), color)


def _light(vertices: np.ndarray, faces: np.ndarray, viewmat: np.ndarray) -> np.ndarray:
    """How bright each vertex is in a light beside the camera. [N]"""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    smooth = np.stack([np.bincount(faces.ravel(), normals[:, c].repeat(3), len(vertices)) for c in range(3)], 1)
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True).clip(1e-12)
    light = viewmat[:3, :3].T @ (np.array([-0.4, -0.5, -0.77]) / np.linalg.norm([0.4, 0.5, 0.77]))
    return 0.35 + 0.75 * (smooth @ light).clip(0, 1)


def _box(shown: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The part of an image worth showing, in a tile's shape: left, top, right, bottom; at least half the height."""
    ys, xs = np.nonzero(shown)
    if not len(ys):
        xs, ys = np.array([0, size[0]]), np.array([0, size[1]])
    left, right, top, bottom = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
    shape = _TILE[0] / _TILE[1]
    tall = max(1.15 * (bottom - top), 1.15 * (right - left) / shape, 0.5 * size[1])
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - tall * shape / 2, y - tall / 2, x + tall * shape / 2, y + tall / 2


def _cut(pixels: np.ndarray, box: tuple[float, float, float, float], beyond: float) -> np.ndarray:
    """A part of an image [H, W, 3] in [0, 1] at a tile's size, [h, w, 3]; it may reach beyond the image."""
    height, width = pixels.shape[:2]
    margin = [max(0, int(np.ceil(reach))) for reach in (-box[0], -box[1], box[2] - width, box[3] - height)]
    padded = np.pad(pixels, ((margin[1], margin[3]), (margin[0], margin[2]), (0, 0)), constant_values=beyond)
    moved = (box[0] + margin[0], box[1] + margin[1], box[2] + margin[0], box[3] + margin[1])
    whole = Image.fromarray((padded.clip(0, 1) * 255).round().astype(np.uint8))
    return np.asarray(whole.resize(_TILE, Image.Resampling.BILINEAR, box=moved)) / 255


def compose(blocks: Sequence[Block]) -> Image.Image:
    """Blocks below each other, with a legend."""
    columns = max((len(row) for block in blocks for row in block.rows), default=1)
    width = max(2 * _EDGE + columns * (_TILE[0] + _GAP) - _GAP, 1000)
    letters = {size: max(20, int((width - 2 * _EDGE) / (0.47 * size))) for size in (15, 17, 20)}
    wrapped = [
        [(line, size, color) for text, size, color in block.heading for line in textwrap.wrap(text, letters[size])]
        for block in blocks
    ]
    height = 2 * _EDGE + 34
    for block, lines in zip(blocks, wrapped, strict=True):
        height += sum(size + 8 for _, size, _ in lines) + len(block.rows) * (_TILE[1] + _STRIP + _GAP) + 20
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    _legend(draw)
    y = _EDGE + 34
    for block, lines in zip(blocks, wrapped, strict=True):
        for line, size, color in lines:
            draw.text((_EDGE, y), line, fill=color, font=ImageFont.load_default(size))
            y += size + 8
        for row in block.rows:
            for column, tile in enumerate(row):
                x = _EDGE + column * (_TILE[0] + _GAP)
                sheet.paste(tile.image, (x, y))
                draw.text((x + 2, y + _TILE[1] + 3), tile.label, fill=tile.color, font=ImageFont.load_default(14))
            y += _TILE[1] + _STRIP + _GAP
        y += 20
    return sheet


def _legend(draw: ImageDraw.ImageDraw) -> None:
    font, x, y = ImageFont.load_default(15), _EDGE, _EDGE
    for color, text in (
        (_BODY, "the posed body as the camera should see it"),
        (_OUTLINE, "outline of the mask: both should agree, but for clothes and hair"),
    ):
        draw.rectangle((x, y + 2, x + 16, y + 16), fill=tuple((255 * color).astype(int).tolist()))
        draw.text((x + 24, y), text, fill="black", font=font)
        x += 24 + int(draw.textlength(text, font=font)) + 30
    for color, text in ((_GOOD, "good"), (_DOUBTFUL, "doubtful"), (_BAD, "bad")):
        draw.text((x, y), text, fill=color, font=font)
        x += int(draw.textlength(text, font=font)) + 12
