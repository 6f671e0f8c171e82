"""The page of an avatar, opened from a file in a real browser: it shows what we render, and answers hands."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.avatar import Avatar, Motion, Seen
from hgg_pyg.avatar.exporters.html import page_of
from hgg_pyg.body import BodyModel
from hgg_pyg.export import ExportConfig, main
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, Cameras
from tests.avatar.avatars import small_avatar, some_motion
from tests.chromium import Visit, open_chromium, visit
from tests.node import node_packages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIEWER = Path(__file__).parents[2] / "hgg_pyg/avatar/exporters/html/viewer"
SIZE = 320
OPENED = "document.getElementById('message').hidden"
DECIBELS = 45


def extreme_motion() -> Motion:
    """Limbs bent as far as anybody's, and further."""
    angles = torch.zeros(2, 24, 3)
    bends = {1: (-1.8, 0, 0.3), 3: (0, 0.6, 0), 4: (2.0, 0, 0), 15: (0, 1.0, 0.2), 16: (0.3, -0.5, -1.0)}
    bends |= {17: (0, 0, 1.2), 18: (0, -2.3, 0), 19: (0, 2.0, 0.5), 20: (1.2, 0, 0)}
    for joint, bend in bends.items():
        angles[:, joint] = torch.tensor(bend)
    return Motion("extreme", 10.0, angles[:, 0], angles[:, 1:].flatten(1), torch.zeros(2, 3))


@pytest.fixture(scope="module")
def avatar(body: BodyModel) -> Avatar:
    """Seen so finely that no camera here comes nearer."""
    own = small_avatar(body, 2000)
    motions = (some_motion(24, 5, "captured"), extreme_motion())
    return replace(own, seen=Seen(3000.0, 3.0), motions=motions)


@pytest.fixture(scope="module")
def file(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "some body.html"
    path.write_text(page_of(avatar, avatar.motions, title="Somebody"), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as opened:
        yield opened


@pytest.fixture
def shown(browser: Browser, file: Path) -> Iterator[Visit]:
    """The page at rest, controls and all."""
    with visit(browser, file.as_uri()) as visited:
        visited.page.wait_for_function(OPENED)
        visited.page.evaluate("opened.then(({scene, panel}) => { globalThis.scene = scene; panel.play(false); })")
        yield visited
        assert visited.said == []
        assert visited.asked == [file.as_uri()]


def picture(visited: Visit) -> np.ndarray:
    """The page without its controls. [H, W, 3], 0 to 1"""
    visited.page.evaluate(
        "document.body.classList.add('bare'), new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))"
    )
    image = np.asarray(Image.open(io.BytesIO(visited.page.screenshot())).convert("RGB"), np.float32) / 255
    visited.page.evaluate("document.body.classList.remove('bare')")
    return image


def look(visited: Visit, motion: int, time: float, **camera: float) -> tuple[np.ndarray, Cameras]:
    """The page's picture of a moment, and the camera that it was taken with."""
    orders = {"motion": motion, "time": time, "camera": camera}
    found = visited.page.evaluate(
        """({motion, time, camera}) => {
          document.getElementById("motion").value = motion;
          document.getElementById("motion").dispatchEvent(new Event("change"));
          scene.time = time;
          Object.assign(scene.camera, camera);
          scene.draw();
          return scene.camera.view(scene.canvas.width, scene.canvas.height);
        }""",
        orders,
    )
    matrix = torch.tensor(found["matrix"]).view(1, 4, 4)
    (fx, fy), (cx, cy) = found["focal"], found["center"]
    return picture(visited), Cameras(matrix, torch.tensor([[[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]]), SIZE, SIZE)


def decibels(found: np.ndarray, expected: torch.Tensor) -> float:
    return float(-10 * np.log10(((found - expected.clamp(0, 1).numpy()) ** 2).mean()))


@pytest.mark.parametrize(
    ("motion", "time", "camera"),
    [
        (0, 0.0, {"yaw": 0.5}),
        (0, 0.25, {"yaw": 2.5, "pitch": 0.7, "distance": 5}),
        (1, 0.0, {"yaw": -0.4}),
        (1, 0.0, {"yaw": 1.5, "pitch": -0.5, "distance": 1.2}),
        (2, 0.0, {"yaw": 3.0}),
    ],
    ids=["a frame", "between frames", "extreme", "from nearby", "rest pose"],
)
def test_the_page_shows_what_we_render(
    shown: Visit, avatar: Avatar, motion: int, time: float, camera: dict[str, Any]
) -> None:
    found, cameras = look(shown, motion, time, **camera)
    if motion < len(avatar.motions):
        pose = avatar.motions[motion].sample(np.array([time])).pose(avatar.betas)
    else:
        pose = BodyPose(avatar.betas, torch.zeros(1, 3), torch.zeros(1, 69), torch.zeros(1, 3))
    expected = render(avatar.repose(pose)[0], cameras).rgb[0]
    assert expected.min() < 0.3  # somebody is in it
    assert decibels(found, expected) > DECIBELS
