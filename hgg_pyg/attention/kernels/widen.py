"""bfloat16 in numba, which has no such type: its bits arrive as uint16 and are the upper half of a float32."""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload


def widened(number):
    """A number of an array of floats, or of the bits of bfloat16, as a float."""
    raise NotImplementedError("numba replaces it")


@overload(widened, inline="always")
def _widened(number):
    if number == types.uint16:
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: number
