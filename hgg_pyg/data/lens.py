"""A lens that bends straight lines: where a pixel of the undistorted image lies in the file, and looking it up there.

Brown and Conrady's model with OpenCV's five coefficients. A point at (x, y) on the plane one metre before an ideal
camera, r^2 = x^2 + y^2, is seen through the lens at

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
    y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y

and K takes both to pixels. So an undistorted image needs no inverse: each of its pixels looks up one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hgg_pyg.kernels.numba_tools import kernel


@dataclass(frozen=True, eq=False)
class Lens:
    """A camera's lens, as OpenCV calibrates it.

    Raises:
        ValueError: an array of another shape.
    """

    K: np.ndarray  # [3, 3] pixels of the file's full size, without skew; the undistorted image keeps it
    distortion: np.ndarray  # [5] k1 k2 p1 p2 k3

    def __post_init__(self) -> None:
        if self.K.shape != (3, 3) or self.distortion.shape != (5,):
            raise ValueError(f"expected K [3, 3] and distortion [5], found {self.K.shape}, {self.distortion.shape}")

    @property
    def bends(self) -> bool:
        """Whether any coefficient is not zero."""
        return bool(np.any(self.distortion))

    def distort(self, points: np.ndarray) -> np.ndarray:
        """Where places of the undistorted image lie in the file. [..., 2] -> [..., 2], pixels, float64

        The polynomial is taken at its word everywhere, beyond `fold` as well, where no real lens follows it.
        """
        focal, centre = self.K[[0, 1], [0, 1]], self.K[:2, 2]
        x, y = np.moveaxis((np.asarray(points, np.float64) - centre) / focal, -1, 0)
        k1, k2, p1, p2, k3 = self.distortion
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        bent_x = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
        bent_y = y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y
        return np.stack([bent_x, bent_y], -1) * focal + centre

    def fold(self) -> float:
        """r^2 from which on points farther out would be seen farther in: the first root of d(r')/dr, or infinity.

        A polynomial fitted within an image may turn back outside it, and would show it a second time there.
        """
        k1, k2, _, _, k3 = self.distortion
        roots = np.roots([7 * k3, 5 * k2, 3 * k1, 1])
        found = roots.real[(abs(roots.imag) < 1e-9 * abs(roots)) & (roots.real > 0)]
        return float(found.min()) if len(found) else float("inf")

    def look_up(
        self,
        pixels: np.ndarray,
        full: tuple[int, int],
        rectangle: tuple[float, float, float, float],
        size: tuple[int, int],
        samples: int,
    ) -> np.ndarray:
        """Undistort: interpolate linearly between the centres of a distorted image's pixels.

        Args:
            pixels: [h, w, C] uint8 or float32, all of the distorted image, at its full size or shrunk.
            full: its full size (width, height), in which K and the rectangle are.
            rectangle: (left, top, width, height) of the undistorted image that is wanted.
            size: (width, height) of what is returned.
            samples: this many look-ups along each axis of a pixel are averaged.

        Returns:
            [height, width, C] float32 in the numbers of `pixels`; zero where the lens sees outside the file.
        """
        for axis in (0, 1):
            pixels = pixels.repeat(2, axis) if pixels.shape[axis] == 1 else pixels  # the kernel wants neighbours
        (fx, fy), (cx, cy) = self.K[[0, 1], [0, 1]].tolist(), self.K[:2, 2].tolist()
        k1, k2, p1, p2, k3 = self.distortion.tolist()
        model = _Model(fx, fy, cx, cy, k1, k2, p1, p2, k3, self.fold())
        full_size = float(full[0]), float(full[1])
        return _look_up(pixels.reshape(-1), pixels.shape, model, full_size, rectangle, size, samples)


class _Model(NamedTuple):
    """A lens as the kernel takes it."""

    fx: float
    fy: float
    cx: float
    cy: float
    k1: float
    k2: float
    p1: float
    p2: float
    k3: float
    fold: float


@kernel
def _places(model, full, shape, left, width, row, pixels, blends):
    """Where look-ups fall that are spread evenly over a row of the undistorted image.

    Nothing here branches on a place, so that several are worked out at a time.

    Args:
        pixels: [n] int32, becomes the upper left one of the four pixels about each place.
        blends: [3, n] float32, becomes how far right and down of it a place is, and 0 outside the file, else 1.
    """
    fx, fy, cx, cy, k1, k2, p1, p2, k3, fold = model
    across, down = shape[1] / full[0], shape[0] / full[1]
    last_u, last_v, last_column, last_row = shape[1] - 1.0, shape[0] - 1.0, shape[1] - 2, shape[0] - 2
    right, lower, inside = blends[0], blends[1], blends[2]
    y, step = (row - cy) / fy, width / pixels.shape[0]
    for j in range(pixels.shape[0]):
        x = (left + (j + 0.5) * step - cx) / fx
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        u = fx * (x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)) + cx
        v = fy * (y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y) + cy
        seen = (square < fold) & (u >= 0) & (u <= full[0]) & (v >= 0) & (v <= full[1])
        u, v = u * across - 0.5 if seen else 0.0, v * down - 0.5 if seen else 0.0
        u, v = u if u > 0 else 0.0, v if v > 0 else 0.0
        u, v = u if u < last_u else last_u, v if v < last_v else last_v
        first_column, first_row = np.int32(u), np.int32(v)
        first_column = first_column if first_column < last_column else np.int32(last_column)
        first_row = first_row if first_row < last_row else np.int32(last_row)
        right[j], lower[j] = np.float32(u - first_column), np.float32(v - first_row)
        inside[j] = np.float32(1) if seen else np.float32(0)
        pixels[j] = first_row * np.int32(shape[1]) + first_column


@kernel
def _look_up(pixels, shape, model, full, rectangle, size, samples):
    """See Lens.look_up; pixels: [h * w * C], C is 1 or 3, h and w above 1."""
    channels, count = shape[2], size[0] * samples
    left, top, width, height = rectangle
    out = np.zeros((size[1], size[0] * channels), np.float32)
    firsts, blends = np.empty(count, np.int32), np.empty((3, count), np.float32)
    # Unsigned, or every access would ask whether its index is negative
    across, down = np.uint64(channels), np.uint64(shape[1] * channels)
    share = np.float32(1 / (samples * samples))
    for i in range(size[1] * samples):
        row = top + (i + 0.5) * height / (size[1] * samples)
        _places(model, full, shape, left, width, row, firsts, blends)
        target = out[i // samples]
        for j in range(count):
            at = np.uint64(j // samples * channels)
            a = np.uint64(firsts[j]) * across
            b, c, d = a + across, a + down, a + down + across
            right, weight = blends[0, j], share * blends[2, j]
            lower = weight * blends[1, j]
            upper = weight - lower
            weight_b, weight_d = upper * right, lower * right
            weight_a, weight_c = upper - weight_b, lower - weight_d
            if channels == 3:
                for n in range(np.uint64(3)):
                    found = weight_a * pixels[a + n] + weight_b * pixels[b + n]
                    target[at + n] += found + (weight_c * pixels[c + n] + weight_d * pixels[d + n])
            else:
                found = weight_a * pixels[a] + weight_b * pixels[b]
                target[at] += found + (weight_c * pixels[c] + weight_d * pixels[d])
    return out.reshape((size[1], size[0], channels))
