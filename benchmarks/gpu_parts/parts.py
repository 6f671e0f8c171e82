"""The parts in the order of their value, and what each waits for."""

from __future__ import annotations

from dataclasses import dataclass

SCATTER, CLUSTER, GSPLAT, CAPTURES = "torch_scatter", "torch_cluster", "gsplat", "captures"


@dataclass(frozen=True)
class Part:
    """A part of the measurement."""

    module: str
    """file of this folder"""
    what: str
    """what it measures, in a line"""
    share: float
    """of the time that is left, beside the shares of the parts after it; 0: only what all others leave"""
    waits: tuple[str, ...] = ()
    """for which jobs, however they end: it runs without what they could not build, or says that it cannot"""
    interpreted: bool = False
    """whether a dry run calls the Triton kernels, in Triton's interpreter"""


PARTS = {
    "tests": Part("gpu_tests", "tests that need a CUDA device, but for rendering", 4, interpreted=True),
    "attention": Part("attention", "attention against float64, beside a copy of the same bytes", 3, interpreted=True),
    "layers": Part("layers", "whole layers, ours, PyG's and anemoi's", 5, (SCATTER,)),
    "render_tests": Part("gpu_tests", "tests of rendering that need a CUDA device", 1, (GSPLAT,)),
    "render": Part("render", "gsplat's image beside that of our CPU kernels; posed frames per second", 4, (GSPLAT,)),
    "avatar": Part("avatar", "images to avatar", 4, (CAPTURES, CLUSTER)),
    "training_step": Part("training_step", "one training step", 3, (CAPTURES, CLUSTER, GSPLAT)),
    "training": Part("training", "a training run in the time that is left", 0, (CAPTURES, CLUSTER, GSPLAT)),
}
