"""The skinned glTF: read back by our reader, which shares no code with the writer, by its validator and by three."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hgg_pyg.avatar import Avatar, Motion
from hgg_pyg.avatar.exporters.glb import glb_bytes
from hgg_pyg.avatar.exporters.glb_reader import SkinnedSplats, Splats, parse_glb, read_glb
from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.types import Gaussians, UserError
from tests.avatar.avatars import small_avatar, some_motion
from tests.node import run_node

BODIES: dict[str, Callable[[], BodyModel]] = {"24 joints": load_body, "55 joints": lambda: BodyModel(open_smplx())}


@pytest.fixture(scope="module", params=list(BODIES))
def avatar(request: pytest.FixtureRequest) -> Avatar:
    body = BODIES[request.param]()
    turning = some_motion(body.num_joints, 4, "turning")
    angles = torch.linspace(0, 12, 4)[:, None] * torch.tensor([0.0, 1, 0])  # further than half a circle in all
    own = small_avatar(body)
    return replace(own, motions=(*own.motions, replace(turning, global_orient=angles)))


def held(splats: SkinnedSplats) -> Avatar | None: ...


def assert_same(found: Splats, expected: Gaussians, tolerance: float = 1e-5) -> None:
    """Of one pose, in the order that they have."""
    axes = expected.quats / expected.quats.norm(dim=-1, keepdim=True)
    turned = matrix_to_quaternion(torch.from_numpy(found.rotations).float())
    assert (1 - (turned * axes).sum(-1).abs()).max() < tolerance
    for name in ("means", "scales", "opacities", "colors"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name).numpy(), atol=tolerance, err_msg=name)


def sorted_by_binding(avatar: Avatar) -> Avatar:
    order = torch.argsort(avatar.binding, stable=True)
    return replace(avatar, gaussians=avatar.gaussians[order], binding=avatar.binding[order])
