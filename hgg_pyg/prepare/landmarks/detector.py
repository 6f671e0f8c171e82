"""Where people are in an image: a single-shot detector's boxes decoded, and those of one person averaged.

The network looks at a square of 224 pixels and gives, for each of 2254 anchors, a box and four points of the person:
the middle of the hips, a point of the circle around the whole body, and the same two for the upper body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZE = 224  # pixels of the network's input
STRIDES = (8, 16, 32, 32, 32)  # of its layers; two anchors a cell and layer
SURE = 0.5  # least score of a box
SAME = 0.3  # least overlap of two boxes of one person


@dataclass(frozen=True, eq=False)
class Detections:
    """N people, the surest first."""

    boxes: np.ndarray  # [N, 4] left, top, right, bottom in pixels of the network's input
    points: np.ndarray  # [N, 4, 2] middle of the hips, whole body, middle of the shoulders, upper body; the same pixels
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
