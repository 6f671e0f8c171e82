"""What the numbers in a capture's masks mean, where they are not brightness up to white."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from hgg_pyg.data.capture import ImageFiles
from hgg_pyg.data.images import mask_range
from hgg_pyg.types import UserError

_LOOKS = 4  # at so many frames from so many cameras, before masks are taken for others than usual


def with_meaning(masks: ImageFiles) -> ImageFiles:
    """Masks of labels, or with another white than their files' own, told from the first that show anything.

    The usual mask has a value above 1, or above 255 in 16 bits, and is brightness. Masks in the colours of a palette
    are labels: any index but 0 is the person. Masks in which nothing is above 1 are of 0 and 1; those of 16 bits in
    which nothing is above 255 are 8 bits stored in 16. This holds for the whole capture, so that a mask without a
    person stays empty and a faint one faint; `read_pixels` refuses a mask that then has more. Files that cannot be read
    say so when they are.

    Args:
        masks: F frames of V cameras, at least one of each.
    """
    if masks.labels:
        return masks
    largest = 0
    for frame, camera in product(_spread(len(masks.names[0])), _spread(len(masks.folders))):
        try:
            value, white, colours = mask_range(masks.path(frame, camera))
        except UserError:
            continue
        if colours:
            return replace(masks, labels=True)
        if value > (1 if white == 255 else 255):
            return masks
        largest = max(largest, value)
    return masks if not largest else replace(masks, white=1 if largest == 1 else 255)


def _spread(count: int) -> list[int]:
    """Some of `count` positions, spread over all of them; the first comes first."""
    looks = min(count, _LOOKS)
    return [place * count // looks for place in range(looks)]
