"""Which frames show the person: those in which a mask has someone where the body is."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.types import Cameras, UserError

NOBODY = "the masks of its input cameras show nobody where the body is"
_FOREGROUND = 0.5  # a pixel belongs to the person when they cover more of it than this
_NEAR = 1e-3  # metres: what is nearer to a camera than this, or behind it, has no place in its image


def shows_person(masks: Tensor, vertices: Tensor, cameras: Cameras) -> bool:
    """Whether a mask has a pixel of a person within the box around the posed body, in at least one of V cameras.

    Without one no ray through a person's pixel can meet the body.

    Args:
        masks: [V, H, W] share of each pixel that the person covers.
        vertices: [N, 3] metres, world.
        cameras: V
    """
    points = vertices.double().numpy()
    for mask, viewmat, K in zip(masks.numpy(), cameras.viewmats.double(), cameras.Ks.double(), strict=True):
        seen = points @ viewmat[:3, :3].numpy().T + viewmat[:3, 3].numpy()
        box = mask
        if seen[:, 2].min() > _NEAR:
            u, v = (seen @ K.numpy().T)[:, :2].T / seen[:, 2]
            box = mask[_span(v, len(mask)), _span(u, mask.shape[1])]
        if box.size and box.max() > _FOREGROUND:
            return True
    return False


def shows_anyone(masks: Tensor) -> bool:
    """Whether a mask has a pixel of a person at all."""
    return bool((masks > _FOREGROUND).any())


def read_masks(capture: Capture, frame: int, cameras: Sequence[int]) -> Tensor:
    """Masks of a frame from some cameras, both by position. [V, H, W]

    Raises:
        UserError: a file is broken, or of another size.
    """
    return torch.from_numpy(np.stack([capture.mask(frame, camera) for camera in cameras]))


def frames_with_person(
    capture: Capture, cameras: Sequence[int], body: BodyModel, frames: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Those of some frames, of all by default, that show the person in some cameras; all by position.

    A frame with a broken mask is among them: whoever reads it says what is wrong.
    """

    def shows(frame: int) -> bool:
        try:
            masks = read_masks(capture, frame, cameras)
        except UserError:
            return True
        vertices = body.pose(capture.poses[[frame]]).vertices[0]
        return shows_person(masks, vertices, capture.views(frame, cameras))

    frames = range(len(capture.frames)) if frames is None else frames
    with ThreadPoolExecutor(torch.get_num_threads()) as pool, one_thread():
        found = list(pool.map(shows, frames))
    return tuple(frame for frame, seen in zip(frames, found, strict=True) if seen)


def _span(places: np.ndarray, pixels: int) -> slice:
    """Pixels whose centres may lie between the least and the greatest of some places."""
    first, last = np.clip([places.min() - 1, places.max() + 1], 0, pixels).astype(int)
    return slice(first, last)
