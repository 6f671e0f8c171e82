"""How wide an avatar's Gaussians are drawn where a camera sees more than the images did that it was made of."""

from __future__ import annotations

import math

from hgg_pyg.avatar.avatar import Seen
from hgg_pyg.render import EPS2D


def footprint(seen: Seen, focal: float, distance: float, sharpness: float = 1.0) -> float:
    """The blur to render an avatar with, `eps2d` of `render`.

    Gaussians are placed so that they close the person's surface in the images that they were made of, each blurred by
    0.3 square pixels there. Drawn larger, the blur has to grow as the person does, or gaps open between them:

        zoom  = (focal / distance) / (seen.focal / seen.distance)
        eps2d = 0.3 max(1, (zoom / sharpness)^2)

    Every viewer of ours draws by this formula.

    Args:
        seen: the avatar's.
        focal: of the camera, pixels; sqrt(fx fy) where they differ.
        distance: from the camera to the person's middle, metres along z.
        sharpness: 1 closes all gaps; more draws finer detail and, in the end, gaps.

    Returns:
        Pixels^2.

    Raises:
        ValueError: a number is not positive and finite.
    """
    for name, value in (("focal", focal), ("distance", distance), ("sharpness", sharpness)):
        if not 0 < value < math.inf:
            raise ValueError(f"footprint: expected {name} > 0, found {value}")
    zoom = (focal / distance) / (seen.focal / seen.distance)
    return EPS2D * max(1.0, (zoom / sharpness) ** 2)
