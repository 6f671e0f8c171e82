"""What a forked process computes is what its parent does: loaders of torch and Python's own pools fork on Linux."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from graphs import GraphSpec, nearest_vertices
from hgg_pyg.attention import attend
from hgg_pyg.backbones import SurfaceBackbone, SurfaceConfig
from hgg_pyg.body import pose_gaussians
from hgg_pyg.data import frame_sources, load_clip, open_captures
from hgg_pyg.data.clips import Target, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.kernels.raster import silhouette
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.render import render
from tests.render.render_scenes import gradients, ring_cameras, shell, with_grad

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # Python's own word on forking beside threads
]


@pytest.fixture(scope="module")
def source(tiny_captures, body, tmp_path_factory) -> FrameSource:
    captures = open_captures(tiny_captures).train
    return frame_sources(captures, 4, SurfaceBackbone(SurfaceConfig()), body, tmp_path_factory.mktemp("frames"))[0]


def rendering(source: FrameSource) -> list[Tensor]:
    gaussians = with_grad(shell(300).map(torch.Tensor.float))
    output = render(gaussians, ring_cameras(2, 40, 30, torch.float32))
    return [output.rgb.detach(), output.alpha.detach(), *gradients(output, gaussians).values()]


def attention(*shape: int) -> Callable[[FrameSource], list[Tensor]]:
    """With key and value of one tensor where `shape` of key has one head, and sources that targets share."""

    def compute(source: FrameSource) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        query, key, value = (
            torch.randn(50, *s, generator=generator, requires_grad=True) for s in (shape, *[shape[1:]] * 2)
        )
        edges = torch.randint(50, (2, 400), generator=generator)
        shared = shape[1] == 1
        out = attend(query, key, key if shared else value, edges, backend="fused")
        leaves = [query, key] if shared else [query, key, value]
        return [out.detach(), *torch.autograd.grad(out.square().sum(), leaves)]

    return compute


def skinning(source: FrameSource) -> list[Tensor]:
    body, gaussians = source.body, with_grad(shell(300).map(torch.Tensor.float))
    binding = torch.arange(300) * 20
    posed = pose_gaussians(gaussians, body.pose(source.capture.poses).vertex_transforms, binding)
    loss = (posed.means.square() + posed.quats[..., :3]).sum()
    return [posed.means.detach(), posed.quats.detach(), *torch.autograd.grad(loss, [gaussians.means, gaussians.quats])]


def backbone(source: FrameSource) -> list[Tensor]:
    found = source.predict(0)
    return [x for x in vars(found).values() if x is not None]


def geometry(source: FrameSource) -> list[Tensor]:
    vertices = source.body.pose(source.capture.poses).vertices
    views = source.capture.views(0, [0])
    faces, view, K = source.body.faces.numpy(), views.viewmats[0].double().numpy(), views.Ks[0].double().numpy()
    seen = silhouette(vertices[0].double().numpy(), faces, view, K, (views.width, views.height))
    return [torch.from_numpy(seen), nearest_vertices(vertices[:, ::50] + 0.01, vertices, 4)]


@contextmanager
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _store(compute: Callable[[FrameSource], list[Tensor]], source: FrameSource, path: Path) -> None:
    torch.save(compute(source), path)


FAMILIES = {
    "rendering": rendering,
    "attention of one tensor": attention(3, 1, 16),
    "attention per head": attention(3, 2, 8),
    "skinning": skinning,
    "backbone": backbone,
    "geometry": geometry,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_forked_processes_compute_the_same(family: str, source: FrameSource, tmp_path: Path) -> None:
    """After the parent has computed the same with its threads, which the child does not have."""
    compute, path = FAMILIES[family], tmp_path / "found.pt"
    with two_threads():
        compute(source)
        torch.mm(torch.randn(300, 300), torch.randn(300, 300))
        child = multiprocessing.get_context("fork").Process(target=_store, args=(compute, source, path))
        child.start()
    child.join(120)
    child.kill()
    assert child.exitcode == 0
    with one_thread():
        wanted = compute(source)
    for found, expected in zip(torch.load(path), wanted, strict=True):
        assert torch.equal(found, expected)


class Clips(Dataset[tuple[Any, Tensor]]):
    """As users write them."""

    def __init__(self, source: FrameSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        _, rgb, _ = load_target(self.source.capture, Target(index, (0, 1)))
        return load_clip(self.source, [index], GraphSpec()).graph.to_dict(), rgb


def every(source: FrameSource) -> list[tuple[Any, Tensor]]:
    clips = Clips(source)
    return [clips[index] for index in range(len(clips))]


def test_a_loader_with_workers_reads_clips(source: FrameSource) -> None:
    """The first to need the frames: workers fill the cache."""
    empty = replace(source, cache=source.cache / "of workers")
    with two_threads():
        every(source)
        loader = DataLoader(Clips(empty), 1, num_workers=2, collate_fn=lambda x: x[0], multiprocessing_context="fork")
        found = list(loader)
    with one_thread():
        wanted = every(source)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
