"""The least that a pass can take on a machine: as much memory read, or as many operations done, as it must at least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """What a pass must at least do."""

    bytes: int
    """that pass through memory, read or written"""
    flops: int = 0
    """floating-point operations, multiplying and adding counted apart"""

    def __add__(self, other: Work) -> Work:
        return Work(self.bytes + other.bytes, self.flops + other.flops)

    def __rmul__(self, times: int) -> Work:
        return Work(times * self.bytes, times * self.flops)


@dataclass(frozen=True)
class Floor:
    """What a pass must at least do, and how long this machine takes for as much of nothing else."""

    work: Work
    times: Mapping[str, Mapping[str, float]]
    """setting to yardstick to median milliseconds"""

    def least(self, setting: str) -> float | None:
        """Milliseconds that no implementation beats: bytes are read while operations are done. None: not measured."""
        found = self.times.get(setting, {})
        return max(found["read"], found["gemm"]) if "read" in found and "gemm" in found else None

    def columns(self, part: str) -> dict[str, float]:
        """Its columns in the table."""
        counted = {f"{part}_must_mb": self.work.bytes / 1e6, f"{part}_must_gflop": self.work.flops / 1e9}
        timed = {
            f"{part}_must_{yardstick}_ms_{setting}": took
            for setting, found in self.times.items()
            for yardstick, took in found.items()
        }
        return counted | timed
