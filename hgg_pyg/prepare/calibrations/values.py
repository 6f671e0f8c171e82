"""What formats of calibrations share: pixels counted from 0, and rotations as vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.data.calibration import numbers
from hgg_pyg.types import UserError


def counted_from_zero(where: str, key: str, value: Any) -> np.ndarray:
    """K of a file in which the middle of the first pixel is 0, as OpenCV has it, for one in which it is 0.5. [3, 3]

    Raises:
        UserError: it is not of nine numbers.
    """
    K = numbers(where, key, value, 9).reshape(3, 3)
    K[:2, 2] += 0.5
    return K


def rotation(where: str, key: str, value: Any) -> np.ndarray:
    """A rotation written as a matrix, or as OpenCV's Rodrigues vector: axis times angle in radians. [3, 3]

    Raises:
        UserError: it is of neither nine nor three numbers.
    """
    values = numbers(where, key, value, None)
    if len(values) == 3:
        if np.abs(values).max() > 1e3:  # radians
            raise UserError(f"{where}: key '{key}': expected axis times angle in radians, found {values.tolist()}")
        return Rotation.from_rotvec(values).as_matrix()
    if len(values) == 9:
        return values.reshape(3, 3)
    raise UserError(
        f"{where}: key '{key}': expected a rotation of 3 numbers (axis times angle) or 9, found {len(values)}"
    )
