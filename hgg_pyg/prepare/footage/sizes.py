"""Images of all cameras brought to one size, with intrinsics that stay right: padded on the right and below, shrunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.extra import opencv
from hgg_pyg.types import UserError

_CUT = 0.02  # of the width that may be missing on the right, where an encoder has cut it to a round number
_SAME_SHAPE = 0.005  # relative difference of width / height: sizes are rounded


@dataclass(frozen=True)
class Framing:
    """How the images, or the masks, of one camera become those of the capture."""

    found: tuple[int, int]  # width and height of what was filmed
    padded: tuple[int, int]  # with black on the right and below
    final: tuple[int, int]  # shrunk

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the capture for one of the footage, along x and y."""
        return self.final[0] / self.padded[0], self.final[1] / self.padded[1]

    def apply(self, image: np.ndarray) -> np.ndarray:
        """An image [H, W, 3], or a mask [H, W], of `found` as one of `final`.

        Raises:
            ValueError: it is of another size.
        """
        if image.shape[1::-1] != self.found:
            raise ValueError(f"expected an image of {_said(self.found)}, found one of {_said(image.shape[1::-1])}")
        (width, height), (wide, high) = self.found, self.padded
        if self.padded != self.found:
            image = np.pad(image, ((0, high - height), (0, wide - width), *[(0, 0)] * (image.ndim - 2)))
        if self.final != self.padded:
            cv2 = opencv("images of another size")
            image = cv2.resize(image, self.final, interpolation=cv2.INTER_AREA)
        return image


def plan_sizes(
    calibration: Calibration, found: Sequence[tuple[int, int]], longest: int | None
) -> tuple[tuple[Framing, ...], Calibration, tuple[str, ...]]:
    """One size for the images of V cameras.

    Where the calibration states a size, images have it, or its shape in another size, or its height with up to 2%
    missing on the right, which is padded with black. Then all are padded on the right and below to the largest width
    and height, which moves no principal point, and shrunk to `longest`.

    Args:
        calibration: of the V cameras.
        found: (width, height) of each camera's images.
        longest: side of the final images, pixels; None: as large as they are.

    Returns:
        How each camera's images are brought there, the calibration for images of that size, and what was done, in
        sentences.

    Raises:
        UserError: images have another shape than the calibration is for.
    """
    notes, sizes, intrinsics = [], [], []
    for name, size, stated, K in zip(calibration.names, found, calibration.sizes, calibration.K, strict=True):
        own, scale = size, np.ones(2)
        if stated is not None and size != stated:
            if size[1] == stated[1] and (1 - _CUT) * stated[0] <= size[0] < stated[0]:
                own = stated
                missing = stated[0] - size[0]
                notes.append(
                    f"{name}: images are {size[0]} wide and its calibration is for {stated[0]}: taken as cut on the "
                    f"right, {missing} columns of black are added there"
                )
            elif abs(size[0] * stated[1] / (size[1] * stated[0]) - 1) <= _SAME_SHAPE:
                scale = np.divide(size, stated)
                notes.append(f"{name}: calibrated at {_said(stated)}, intrinsics are scaled to {_said(size)}")
            else:
                turned = size[0] * stated[0] == size[1] * stated[1]
                why = "; it is for images turned by 90 degrees: see how the video player shows them" if turned else ""
                raise UserError(
                    f"{name}: expected images of {_said(stated)}, which its calibration is for, or of that shape; "
                    f"found {_said(size)}{why}"
                )
        sizes.append(own)
        intrinsics.append(np.diag([*scale, 1.0]) @ K)
    largest = (max(width for width, _ in sizes), max(height for _, height in sizes))
    for name, size in zip(calibration.names, sizes, strict=True):
        if size != largest:
            notes.append(f"{name}: images of {_said(size)} are padded to {_said(largest)}, as large as the largest")
    final = largest
    if longest is not None and max(largest) > longest:
        final = (round(largest[0] * longest / max(largest)), round(largest[1] * longest / max(largest)))
        notes.append(f"images are shrunk from {_said(largest)} to {_said(final)}")
    shrink = np.diag([*np.divide(final, largest), 1.0])
    placed = replace(calibration, K=np.stack([shrink @ K for K in intrinsics]), sizes=(final,) * len(calibration.names))
    return tuple(Framing(size, largest, final) for size in found), placed, tuple(notes)


def _said(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
