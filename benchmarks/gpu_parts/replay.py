"""Work as a CUDA graph: its kernels without the time that Python and the driver take to launch them one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch

from benchmarks.suite import Contestant

Result = TypeVar("Result")
_WARM_UP = 3


def replayed(work: Callable[[], Result]) -> Callable[[], Result]:
    """Work that is captured at its first call, and played again then and at every other.

    It must do the same each time, on the same tensors, and ask the device for no number. What it returns is written
    anew by each call.
    """
    made: list[tuple[torch.cuda.CUDAGraph, Result]] = []

    def play() -> Result:
        if not made:
            made.append(_capture(work))
        graph, result = made[0]
        graph.replay()
        return result

    return play


def replayed_contestant(contestant: Contestant) -> Contestant:
    """A contestant whose passes are replayed."""
    backward = contestant.forward_backward
    return replace(
        contestant,
        forward=replayed(contestant.forward),
        forward_backward=None if backward is None else replayed(backward),
    )


def _capture(work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # the first runs compile, sort edges and ask for memory
        for _ in range(_WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph, result
