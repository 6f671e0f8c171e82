"""Shared by all tests: a private cache, few threads, and small bodies and clips."""

import logging
import os
from collections import Counter
from pathlib import Path

import pytest
import torch

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.types import BodyPose, Gaussians
from tests.captures import make_captures


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first: no process is left with one of them when the others are done."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    kept = os.environ.get("HGG_TEST_CACHE")  # compiled kernels then serve the next run, too: minutes less
    patch.setenv("HGG_CACHE", kept or str(tmp_path_factory.mktemp("cache")))
    patch.delenv("HGG_BODY_MODELS", raising=False)
    patch.delenv("HGG_LPIPS", raising=False)
    patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))  # no test is another one where LPIPS is at hand
    yield
    patch.undo()


LPIPS_FOLDER = Path(os.environ.get("HGG_LPIPS") or Path(torch.hub.get_dir()) / "checkpoints")
"""Where this machine has the networks of LPIPS, if it has them."""


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the commands tell people."""
    caplog.set_level(logging.INFO, "hgg_pyg")
    return caplog


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return load_body()


@pytest.fixture(scope="session")
def make_pose():
    def make(frames: int, seed: int = 0) -> BodyPose:
        generator = torch.Generator().manual_seed(seed)
        return BodyPose(
            betas=torch.randn(10, generator=generator),
            global_orient=torch.randn(frames, 3, generator=generator),
            body_pose=0.3 * torch.randn(frames, 69, generator=generator),
            transl=torch.randn(frames, 3, generator=generator),
        )

    return make


@pytest.fixture(scope="session")
def make_frames(body):
    """Gaussians scattered about the vertices of each pose, with random features."""

    def make(pose: BodyPose, count: int | list[int], features: int = 6, seed: int = 0) -> list[Gaussians]:
        generator = torch.Generator().manual_seed(seed)
        counts = count if isinstance(count, list) else [count] * len(pose)
        frames = []
        for vertices, number in zip(body.pose(pose).vertices, counts, strict=True):
            near = torch.randint(len(vertices), (number,), generator=generator)
            frames.append(
                Gaussians(
                    means=vertices[near] + 0.01 * torch.randn(number, 3, generator=generator),
                    quats=torch.nn.functional.normalize(torch.randn(number, 4, generator=generator), dim=-1),
                    scales=0.005 + 0.01 * torch.rand(number, 3, generator=generator),
                    opacities=torch.rand(number, generator=generator),
                    colors=torch.rand(number, 3, generator=generator),
                    features=torch.randn(number, features, generator=generator),
                )
            )
        return frames

    return make


@pytest.fixture(scope="session")
def tiny_captures(tmp_path_factory) -> Path:
    """Three subjects (one per split), 4 frames, 6 cameras, 32 pixels. Read only: copy it to change it."""
    out = tmp_path_factory.mktemp("data") / "captures"
    return make_captures(SynthesizeConfig(out=out, subjects=3, frames=4, views=6, size=32))
