"""What kernels share."""

import signal
import time

import pytest

from hgg_pyg.kernels.numba_tools import numba_threads


def test_an_interrupt_waits_until_kernels_are_done() -> None:
    done = []

    def compute(interrupt: bool) -> None:
        with numba_threads():
            if interrupt:
                signal.raise_signal(signal.SIGINT)
                time.sleep(0)  # where Python would raise it
            done.append("kernels")

    with pytest.raises(KeyboardInterrupt):
        compute(interrupt=True)
    assert done == ["kernels"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    compute(interrupt=False)
    assert done == ["kernels", "kernels"]
