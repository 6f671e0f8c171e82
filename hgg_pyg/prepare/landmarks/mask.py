"""From the network's small mask to one of the image: parts of others taken away, edges put where the image has them.

The edges by a guided filter with colours (He, Sun and Tang 2010): near each pixel the mask is taken for a linear
function of the image's colour. Run twice, the second time from the first one's halves, it moves an edge by a few pixels
of the network's mask to where colours change.
"""

from __future__ import annotations

import numpy as np

from hgg_pyg.prepare.extra import opencv
from hgg_pyg.prepare.landmarks.crop import Square

_NEAR = 4  # pixels of the network's mask: how far a landmark may be from the part that it stands for
_VISIBLE = 0.5  # least confidence of a landmark that tells whose a part is
_RADIUS = 4  # pixels of the network's mask: half the width of the windows
_FINE = 2  # pixels that the filter works in, to one of the network's mask: enough for what is linear in colour
_FLAT = 3e-3  # variance of colour (of 0..1) below which an edge is noise
_ROUNDS = 2
_SURE = 1 / 8  # where the network's mask is nearer than this to 0 or 1, the filter has less and less to say
_STEEPER = 1.2  # slope of soft edges, which the filter leaves too soft


def own_parts(probability: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The mask without parts of other people and things: the largest part stays, and what has a landmark on it.

    Args:
        probability: [S, S] of being the person.
        points: [J, 3] landmarks in its pixels, with confidence.

    Returns:
        [S, S] float32. Soft edges go with the part that they are nearest to.
    """
    cv2 = opencv("masks")
    mask = probability.astype(np.float32)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    own = {1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))}
    for x, y, confidence in points:
        if confidence > _VISIBLE and np.isfinite([x, y]).all():
            row, column = int(y), int(x)
            rows = slice(max(0, row - _NEAR), max(0, row + _NEAR + 1))
            own |= set(labels[rows, max(0, column - _NEAR) : max(0, column + _NEAR + 1)].ravel().tolist())
    mine = np.isin(labels, list(own - {0}))
    others = (labels > 0) & ~mine
    if others.any():
        to_mine, to_others = (
            cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 5) for part in (mine, others)
        )
        mask[to_others < to_mine] = 0.0
    return mask


def full_size_mask(mask: np.ndarray, square: Square, image: np.ndarray) -> np.ndarray:
    """The mask in the image, its edges moved to where colours change.

    Args:
        mask: [S, S] float32 probabilities in a square.
        square: where that is in the image.
        image: [H, W, 3] uint8.

    Returns:
        [H, W] uint8, 0..255.
    """
    cv2 = opencv("masks")
    height, width = image.shape[:2]
    pasted = square.paste(mask, height, width)
    refined = np.zeros((height, width), np.uint8)
    left, top, wide, high = cv2.boundingRect((pasted > 0.5).astype(np.uint8))
    if not wide:
        return refined
    pixel = square.side / mask.shape[0]
    margin = int(np.ceil(2 * _RADIUS * pixel)) + 1
    rows = slice(max(0, top - margin), min(height, top + high + margin))
    columns = slice(max(0, left - margin), min(width, left + wide + margin))
    guide = image[rows, columns].astype(np.float32) / 255.0
    step = max(1, round(pixel / _FINE))
    radius = max(1, round(_RADIUS * pixel / step))
    coarse = pasted[rows, columns]
    edges = (guided_filter(guide, coarse, radius, _FLAT, step, _ROUNDS) - 0.5) * _STEEPER + 0.5
    edges = np.clip(edges, np.maximum(0, 1 - (1 - coarse) / _SURE), np.minimum(1, coarse / _SURE))
    refined[rows, columns] = np.rint(255 * edges).astype(np.uint8)
    return refined


def guided_filter(
    guide: np.ndarray, mask: np.ndarray, radius: int, flat: float, step: int = 1, rounds: int = 1
) -> np.ndarray:
    """The halves of a mask, made linear in the colours of the image around each pixel.

    Args:
        guide: [H, W, 3] float32, colours in 0..1.
        mask: [H, W] float32, in 0..1; at least 0.5 is inside.
        radius: half the width of a window, in steps.
        flat: variance of colour below which edges do not count.
        step: pixels that are taken together to find the linear function.
        rounds: how often the result is halved and filtered again.

    Returns:
        [H, W] float32, about 0..1.
    """
    cv2 = opencv("masks")
    height, width = mask.shape
    size = (max(1, width // step), max(1, height // step))
    colours = cv2.resize(guide, size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    middle = mean(colours)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    moments = [mean(colours[..., i] * colours[..., j]) - middle[..., i] * middle[..., j] for i, j in pairs]
    inverse = _inverse(*(moment + flat * (i == j) for moment, (i, j) in zip(moments, pairs, strict=True)))
    slope, offset = np.zeros_like(colours), inside
    for _ in range(rounds):
        halves = (inside >= 0.5).astype(np.float32)
        share = mean(halves)
        covariance = mean(colours * halves[..., None]) - middle * share[..., None]
        slope = (inverse @ covariance[..., None])[..., 0]
        slope, offset = mean(slope), mean(share - (slope * middle).sum(-1))
        inside = (slope * colours).sum(-1) + offset
    slope, offset = (cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) for part in (slope, offset))
    return (slope * guide).sum(-1) + offset


def _inverse(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, e: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Inverses [H, W, 3, 3] of the symmetric matrices ((a, b, c), (b, d, e), (c, e, f)), by their cofactors."""
    rows = ((d * f - e * e, c * e - b * f, b * e - c * d), (a * f - c * c, b * c - a * e), (a * d - b * b,))
    (aa, ab, ac), (bb, bc), (cc,) = rows
    inverse = np.stack([np.stack(row, -1) for row in ((aa, ab, ac), (ab, bb, bc), (ac, bc, cc))], -2)
    return inverse / (a * aa + b * ab + c * ac)[..., None, None]
