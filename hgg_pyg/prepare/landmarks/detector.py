"""Where people are in an image: a single-shot detector's boxes decoded, and those of one person averaged.

The network looks at a square of 224 pixels and gives, for each of 2254 anchors, a box and four points of the person:
the middle of the hips, a point of the circle around the whole body, and the same two for the upper body. People smaller
than about a quarter of what the network looks at are missed, so it looks at windows of the image, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hgg_pyg.prepare.landmarks.crop import Square

SIZE = 224  # pixels of the network's input
STRIDES = (8, 16, 32, 32, 32)  # of its layers; two anchors a cell and layer
SURE = 0.5  # least score of a box
SAME = 0.3  # least overlap of two boxes of one person
OVERHANG = 0.15  # of a person's circle that may lie outside of a window


@dataclass(frozen=True, eq=False)
class Detections:
    """N people, the surest first."""

    boxes: np.ndarray  # [N, 4] left, top, right, bottom in pixels
    points: np.ndarray  # [N, 4, 2] middle of the hips, whole body, middle of the shoulders, upper body; in pixels
    scores: np.ndarray  # [N] 0..1


def anchors(size: int = SIZE, strides: tuple[int, ...] = STRIDES) -> np.ndarray:
    """Centres of the anchors [A, 2] as parts of the input, in the network's order.

    Layers of one stride share their cells: a cell's anchors stand together, two for each layer. The size of an anchor
    has no part in decoding.
    """
    found = []
    for stride in dict.fromkeys(strides):
        cells = -(-size // stride)
        y, x = np.divmod(np.arange(cells * cells), cells)
        centres = (np.stack([x, y], 1) + 0.5) / cells
        found.append(np.repeat(centres, 2 * strides.count(stride), axis=0))
    return np.concatenate(found)


def decode(raw: np.ndarray, logits: np.ndarray, centres: np.ndarray, sure: float = SURE) -> Detections:
    """Boxes and points of the anchors that are sure, the surest first.

    Args:
        raw: [A, 12] centre of the box, its size, then four points, in pixels; centre and points from the anchor's.
        logits: [A] of the scores.
        centres: [A, 2] of `anchors`.
        sure: least score.
    """
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -100.0, 100.0)))
    kept = np.flatnonzero(scores >= sure)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    values = raw[kept].astype(np.float64).reshape(-1, 6, 2)
    anchor = centres[kept] * SIZE
    middle, extent = values[:, 0] + anchor, values[:, 1]
    boxes = np.concatenate([middle - extent / 2, middle + extent / 2], axis=1)
    return Detections(boxes, values[:, 2:] + anchor[:, None], scores[kept])


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of a box [4] and others [N, 4]."""
    corner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.clip(corner, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    total = areas + np.clip(box[2:] - box[:2], 0, None).prod() - shared
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)


def merge(found: Detections, same: float = SAME) -> Detections:
    """One detection a person: what overlaps the surest is averaged by score, then the surest of the rest, and so on.

    A person keeps the score of the surest box.
    """
    rest = np.arange(len(found.scores))
    boxes, points, scores = [], [], []
    while rest.size:
        first = rest[0]
        near = overlaps(found.boxes[first], found.boxes[rest]) > same
        near[0] = True  # a box without an area overlaps not even itself
        group = rest[near]
        boxes.append(np.average(found.boxes[group], axis=0, weights=found.scores[group]))
        points.append(np.average(found.points[group], axis=0, weights=found.scores[group]))
        scores.append(found.scores[first])
        rest = rest[~near]
    return Detections(
        np.array(boxes).reshape(-1, 4), np.array(points).reshape(-1, 4, 2), np.array(scores, dtype=np.float64)
    )


def windows(width: int, height: int) -> list[list[Square]]:
    """What of an image to look at: all of it and squares as wide as its short side; if nobody is there, half as wide.

    Neighbours overlap by half at least.
    """
    short = min(width, height)
    levels = []
    for side in (short, short / 2):
        columns, rows = (
            np.linspace(side / 2, length - side / 2, 1 + math.ceil((length - side) / (side / 2)))
            for length in (width, height)
        )
        levels.append([Square(float(x), float(y), side) for y in rows for x in columns])
    if width != height:
        levels[0].insert(0, Square(width / 2, height / 2, max(width, height)))
    return levels


def whole_in(found: Detections, square: Square, width: int, height: int) -> Detections:
    """Detections in pixels of a window, in those of the image; without people whom the window cuts off.

    Args:
        found: in pixels of the network's input.
        square: the window, upright.
        width: of the image.
        height: of the image.
    """
    scale = square.side / SIZE
    corner = np.array([square.x, square.y]) - square.side / 2
    boxes, points = found.boxes * scale + np.tile(corner, 2), found.points * scale + corner
    radius = np.linalg.norm(points[:, 1] - points[:, 0], axis=1, keepdims=True)
    reach = (1 - 2 * OVERHANG) * radius
    low, high = points[:, 0] - reach, points[:, 0] + reach
    size = np.array([width, height])
    kept = (((low >= corner) | (corner <= 0)) & ((high <= corner + square.side) | (corner + square.side >= size))).all(
        1
    )
    return Detections(boxes[kept], points[kept], found.scores[kept])


def together(parts: list[Detections]) -> Detections:
    """All detections, the surest first."""
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind="stable")
    boxes, points = np.concatenate([part.boxes for part in parts]), np.concatenate([part.points for part in parts])
    return Detections(boxes[order], points[order], scores[order])
