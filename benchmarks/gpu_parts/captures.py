"""Which synthetic captures are made for the parts that need images."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass

from benchmarks.gpu_parts.needs import Plan, environment
from benchmarks.gpu_parts.parts import CAPTURES
from benchmarks.gpu_parts.setting import Setting


@dataclass(frozen=True)
class CaptureSize:
    """What is synthesized."""

    subjects: int
    frames: int
    views: int
    size: int  # pixels


def capture_size(toy: bool) -> CaptureSize:
    """A few people at the size that is trained at; in a dry run the least."""
    return CaptureSize(3, 4, 6, 32) if toy else CaptureSize(8, 16, 8, 256)


def capture_plan(setting: Setting) -> Plan:
    """How to make them; they are kept, and what is there already is not made again."""
    size = capture_size(setting.toy)
    command = [
        *(sys.executable, "-m", "hgg_pyg.synthesize", "--out", str(setting.captures)),
        *("--subjects", str(size.subjects), "--frames", str(size.frames)),
        *("--views", str(size.views), "--size", str(size.size)),
        *(("--workers", "1") if setting.toy else ()),
    ]
    return Plan(CAPTURES, "synthetic captures", shlex.join(command), environment(setting.work))
