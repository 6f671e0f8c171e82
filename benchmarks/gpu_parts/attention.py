"""The Triton kernels against float64, forward and backward, then their times beside a copy of the same bytes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmarks.attention_problem import COPY, AttentionProblem, Case, runnable
from benchmarks.gpu_parts.replay import replayed_contestant
from benchmarks.gpu_parts.setting import Setting, Sheet
from benchmarks.gpu_parts.stand_ins import use_stand_ins
from benchmarks.suite import Contestant, Limits, run_case
from benchmarks.workers import Worker
from hgg_pyg.attention import Variant
from hgg_pyg.attention.registry import HALF, register, variants

EDGES = (524_288, 4_194_304, 65_536, 1_048_576, 2_097_152, 131_072, 262_144)
"""E, the paper's first"""
TOY_EDGES = 60
FUSED, TENSOR_CORES, REPLAYED, INTERPRETED = "fused", "fused, tf32x3", "fused, CUDA graph", "Triton, interpreted"
"""TENSOR_CORES takes products of float32 to tensor cores in three parts; INTERPRETED is a dry run's"""
_LIMITS = Limits(slow_s=20, patience_s=5)


class FusedProblem(AttentionProblem):
    """See `AttentionProblem`; with the kernels' other precision, as a CUDA graph, and in a dry run interpreted."""

    def contestant(self, name: str) -> Contestant:
        """A variant, COPY, TENSOR_CORES, REPLAYED or INTERPRETED."""
        changed = {TENSOR_CORES: on_tensor_cores, REPLAYED: replayed_contestant}.get(name)
        return changed(super().contestant(FUSED)) if changed else super().contestant(name)


def build(case: Case) -> FusedProblem:
    """The problem of a case, in a worker."""
    use_stand_ins()
    if os.environ.get("TRITON_INTERPRET") == "1" and INTERPRETED not in variants():
        from hgg_pyg.attention.kernels.triton_csr import triton_attention

        summary = "the Triton kernels on a CPU"
        register(Variant(INTERPRETED, summary, triton_attention, cpu=(torch.float32,), storage=HALF))
    return FusedProblem(case)


def on_tensor_cores(contestant: Contestant) -> Contestant:
    """A contestant that calls our Triton kernels, with products of float32 in three parts on tensor cores."""

    def within(work: Callable[[], object]) -> Callable[[], object]:
        from hgg_pyg.attention.kernels import triton_matrix

        def run() -> object:
            before, triton_matrix.PRECISION = triton_matrix.PRECISION, "tf32x3"
            try:
                return work()
            finally:
                triton_matrix.PRECISION = before

        return run

    backward = contestant.forward_backward
    return replace(
        contestant, forward=within(contestant.forward), forward_backward=within(backward) if backward else None
    )


def degrees_known() -> bool:
    """Whether the body's own degrees can be had: casting their rays takes minutes without Embree."""
    return importlib.util.find_spec("embreex") is not None


def cases(setting: Setting) -> list[Case]:
    """The paper's size first: keys and values given; folded; between vertices. Then the folded form at other sizes."""
    chief = Case(edges=EDGES[0], device=setting.device, skew="body" if degrees_known() and not setting.toy else "half")
    if setting.toy:
        chief = replace(chief, edges=TOY_EDGES, targets=6, heads=2, hidden_channels=16)
    folded = replace(chief, form="folded")
    halved = replace(folded, storage="bfloat16")
    inter = replace(chief, task="inter", edges=0, skew="body", shuffled=True, hops=1 if setting.toy else 2)
    others = () if setting.toy else EDGES[1:]
    return [folded, halved, chief, inter, *(replace(case, edges=e) for e in others for case in (folded, halved))]


def run(setting: Setting) -> None:
    """Check and time; a row for each contestant of each case."""
    sheet = Sheet(setting, nearest_search=use_stand_ins())
    with Worker("default", setting.threads, setting.device) as worker:
        todo = cases(setting)
        for number, case in enumerate(todo):
            names = [*_names(setting, case), COPY]
            found = run_case([worker], build, case, names, 1 if setting.toy else 7, limits=_LIMITS)
            about: dict[str, Any] = {k: v for k, v in asdict(case).items() if k != "device"}
            chief = number < 4
            sheet.add({**about, "chief": chief, "name": name, **result.columns()} for name, result in found.items())


def _names(setting: Setting, case: Case) -> list[str]:
    if setting.toy:
        interpreted = case.task == "intra" and importlib.util.find_spec("triton") is not None
        return [FUSED, *([INTERPRETED] if interpreted else [])]
    wanted = ["scatter", "pyg_index", "compiled", FUSED] if case.form == "given" else [FUSED]
    reasons = runnable(case)
    names = [name for name in wanted if reasons[name] is None]
    if FUSED in names and setting.device == "cuda":
        names += [REPLAYED, *([TENSOR_CORES] if case.form == "folded" else [])]
    return names
