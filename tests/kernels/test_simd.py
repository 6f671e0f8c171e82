"""Operations on registers that rasterising takes; attention's are in tests/attention/test_numba_kernels.py."""

import numpy as np
import pytest
from numba import njit

from hgg_pyg.kernels import simd


@njit
def _operate(x, y, out):
    a, b = simd.load(x, 0), simd.load(y, 0)
    simd.store(out, 0, simd.minus_abs(a))
    simd.store(out, 8, simd.square_root(b))
    simd.store(out, 16, simd.ascending(x[0]))
    bits = simd.bits_above(a, b)
    return simd.any_above(a, b), simd.any_above(b, b), bits, simd.lowest_bit(bits)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_registers_compute_what_numpy_does(real: type) -> None:
    x, y = np.linspace(-6, 8, 8).astype(real), np.array([1, 2, 3, np.nan, 1, np.inf, 0, 9], real)
    out = np.empty(24, real)
    some, none, bits, lowest = _operate(x, y, out)
    np.testing.assert_array_equal(out[:8], -np.abs(x))
    np.testing.assert_allclose(out[8:16], np.sqrt(y), rtol=1e-6)
    np.testing.assert_array_equal(out[16:], x[0] + np.arange(8, dtype=real))
    above = x > y
    assert (some, none, bits, lowest) == (True, False, int((above << np.arange(8)).sum()), int(above.argmax()))


@njit
def _powers(x, out):
    for i in range(0, len(x), 8):
        simd.store(out, i, simd.power_of_two(simd.load(x, i)))


@pytest.mark.parametrize(("real", "tolerance"), [(np.float32, 2e-7), (np.float64, 1e-15)])
def test_powers_of_two_over_their_range(real: type, tolerance: float) -> None:
    """Down to the smallest normal number of float32, and never below that there, also for -1e30."""
    x = np.concatenate([np.linspace(-126, 0, 79_993), [-0.5, -1.5, 0, -0.0, -1e-30, -125.999, -3]]).astype(real)
    out, low = np.empty_like(x), np.full(8, -1e30, np.float32)
    _powers(x, out)
    np.testing.assert_allclose(out, 2.0 ** x.astype(np.float64), rtol=tolerance)
    lowest = np.empty_like(low)
    _powers(low, lowest)
    np.testing.assert_array_equal(lowest, np.full(8, 2.0**-126, np.float32))
