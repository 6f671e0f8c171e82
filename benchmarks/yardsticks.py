"""How long this machine takes to read or copy memory, and to multiply matrices, as much as a pass must at least."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.floors import Floor, Work
from benchmarks.suite import Contestant, run_case
from benchmarks.workers import Worker

YARDSTICKS = ("read", "copy", "gemm")
_MOST_BYTES = 1 << 28  # larger amounts are so much memory again and again: no cache holds it


@dataclass(frozen=True)
class YardstickCase:
    """Amounts of work to measure side by side."""

    works: tuple[Work, ...]
    device: str = "cpu"


class YardstickProblem:
    """The yardsticks of a case: "read 0", "copy 0", "gemm 0" are those of its first amount of work.

    "read" is a dot product of a vector of so many bytes with itself, the fastest pass over memory that torch has;
    "copy" writes as many bytes as it reads, to memory that is there already, as `benchmarks.attention` has it; "gemm"
    is a product of two square float32 matrices, the shape that needs the fewest bytes.
    """

    def __init__(self, case: YardstickCase) -> None:
        self.case, self.device = case, case.device
        most = min(_MOST_BYTES, max(work.bytes for work in case.works))
        self._there, self._place = (torch.ones(-(-most // 4), device=case.device) for _ in range(2))

    def prepare(self) -> None:
        """Nothing: there is no truth."""

    def contestant(self, name: str) -> Contestant:
        """A yardstick of one amount of work."""
        yardstick, _, index = name.partition(" ")
        work = self.case.works[int(index)]
        made: dict[str, Callable[[Work], Callable[[], object]]] = {
            "read": self._read, "copy": self._copy, "gemm": self._gemm}  # fmt: skip
        return Contestant(made[yardstick](work), None, check=None)

    def _read(self, work: Work) -> Callable[[], None]:
        parts = self._parts(work, self._there)

        def read() -> None:
            for x in parts:
                torch.dot(x, x)

        return read

    def _copy(self, work: Work) -> Callable[[], None]:
        pairs = list(zip(self._parts(work, self._there), self._parts(work, self._place), strict=True))

        def copy() -> None:
            for x, place in pairs:
                place.copy_(x)

        return copy

    def _parts(self, work: Work, memory: Tensor) -> list[Tensor]:
        """So many bytes of memory, all of it as often as it takes."""
        times, rest = divmod(-(-work.bytes // 4), len(memory))
        return [memory] * times + [memory[:rest]] * (rest > 0)

    def _gemm(self, work: Work) -> Callable[[], object]:
        size = max(1, round((work.flops / 2) ** (1 / 3)))
        a, b, out = (torch.ones(size, size, device=self.device) for _ in range(3))
        return lambda: torch.mm(a, b, out=out)


def measure_floors(
    workers: Sequence[Worker],
    works: Iterable[Work],
    device: str,
    repeats: int,
    advance: Callable[[float], object] = lambda share: None,
) -> dict[Work, Floor]:
    """Time the yardsticks of some amounts of work, each once however often it is named, under every setting."""
    distinct = tuple(dict.fromkeys(works))
    if not distinct:
        return {}
    names = [f"{yardstick} {index}" for index in range(len(distinct)) for yardstick in YARDSTICKS]
    found = run_case(workers, YardstickProblem, YardstickCase(distinct, device), names, repeats, advance)
    floors = {}
    for index, work in enumerate(distinct):
        times: dict[str, dict[str, float]] = {}
        for worker in workers:
            took = {y: found[f"{y} {index}"].median("forward", worker.setting) for y in YARDSTICKS}
            times[worker.setting] = {y: ms for y, ms in took.items() if ms is not None}
        floors[work] = Floor(work, times)
    return floors
