"""The page of an avatar, opened from a file in a real browser: it shows what we render, and answers hands."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.avatar import Avatar, Motion, Seen
from hgg_pyg.avatar.exporters.html import page_of
from hgg_pyg.avatar.footprint import footprint
from hgg_pyg.avatar.motions import load_motion
from hgg_pyg.body import BodyModel
from hgg_pyg.body.open_smplx import open_smplx
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
    """Seen so finely that cameras come nearer only where a test says so."""
    own = small_avatar(body, 2000)
    motions = (some_motion(24, 5, "captured"), extreme_motion())
    return replace(own, seen=Seen(600.0, 3.0), motions=motions)


@pytest.fixture(scope="module")
def file(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "some body.html"
    path.write_text(page_of(avatar, avatar.motions, title="Somebody"), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as opened:
        yield opened


@contextmanager
def opened(browser: Browser, file: Path, size: tuple[int, int] = (SIZE, SIZE), touch: bool = False) -> Iterator[Visit]:
    """The page at rest, which says nothing and asks for nothing but itself."""
    with visit(browser, file.as_uri(), size, touch=touch, still=True) as visited:
        wait_for_the_scene(visited)
        yield visited
        assert visited.said == []
        assert visited.asked == [file.as_uri()]


def wait_for_the_scene(visited: Visit) -> None:
    visited.wait(OPENED)
    visited.page.evaluate("opened.then(({scene}) => { globalThis.scene = scene; })")


@pytest.fixture
def shown(browser: Browser, file: Path) -> Iterator[Visit]:
    """A page of one's own."""
    with opened(browser, file) as visited:
        yield visited


@pytest.fixture(scope="module")
def still(browser: Browser, file: Path) -> Iterator[Visit]:
    """A page that is only looked at."""
    with opened(browser, file) as visited:
        yield visited


def picture(visited: Visit) -> np.ndarray:
    """The page without its controls. [H, W, 3], 0 to 1"""
    visited.page.evaluate("document.body.classList.add('bare')")
    visited.page.evaluate("new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))")
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
          scene.frame();
          Object.assign(scene.camera, camera);
          scene.draw();
          return scene.view();
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
        (1, 0.0, {"yaw": 1.5, "pitch": -0.5, "distance": 0.7}),
        (2, 0.0, {"yaw": 3.0}),
    ],
    ids=["a frame", "between frames", "extreme", "from nearby", "rest pose"],
)
def test_the_page_shows_what_we_render(
    still: Visit, avatar: Avatar, motion: int, time: float, camera: dict[str, Any]
) -> None:
    found, cameras = look(still, motion, time, **camera)
    if motion < len(avatar.motions):
        pose = avatar.motions[motion].sample(np.array([time])).pose(avatar.betas)
    else:
        pose = BodyPose(avatar.betas, torch.zeros(1, 3), torch.zeros(1, 69), torch.zeros(1, 3))
    posed = avatar.repose(pose)[0]
    depth = (cameras.viewmats[0] @ torch.cat([posed.means.mean(0), torch.ones(1)]))[2].item()
    blur = footprint(avatar.seen, cameras.Ks[0, 0, 0].item(), depth)
    assert (blur > 1) == (camera.get("distance", 3) < 1)
    expected = render(posed, cameras, eps2d=blur).rgb[0]
    assert expected.min() < 0.3  # somebody is in it
    assert decibels(found, expected) > DECIBELS


def test_joints_of_hands_and_more_than_four_weights(browser: Browser, tmp_path: Path) -> None:
    own = small_avatar(BodyModel(open_smplx()), 1000)
    assert ((own.weights > 0).sum(1) > 4)[own.binding].any()
    path = tmp_path / "a.html"
    path.write_text(page_of(own, own.motions, precise=True), "utf-8")
    with opened(browser, path) as visited:
        found, cameras = look(visited, 0, 0.2, yaw=1.0, distance=8)
        assert "Left fingers" in visited.page.locator("#limbs summary").all_text_contents()
    expected = render(own.repose(own.motions[0].pose(own.betas)[[2]])[0], cameras).rgb[0]
    assert decibels(found, expected) > DECIBELS


def test_the_whole_person_is_in_the_picture_whatever_it_does(browser: Browser, avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(page_of(avatar, [load_motion("wave", avatar.skeleton)]), "utf-8")
    with opened(browser, path) as visited:
        found = np.stack([look(visited, 0, time)[0] for time in (0.6, 1.2, 1.8)]).min((0, 3))
        reach = visited.page.evaluate("scene.reach().high - scene.size.high")
    rows, columns = np.nonzero(found < 0.95)
    assert reach > 0.1  # a hand goes up over the head
    assert 2 < rows.min() < rows.max() < SIZE - 2
    assert 2 < columns.min() < columns.max() < SIZE - 2


def state(visited: Visit) -> dict[str, Any]:
    """What hands can change."""
    return visited.page.evaluate(
        """() => ({
          yaw: scene.camera.yaw, pitch: scene.camera.pitch, distance: scene.camera.distance, pan: scene.camera.pan,
          time: scene.time, motion: scene.motion, sharpness: scene.sharpness, background: scene.background,
          bends: [...scene.bends],
        })"""
    )


def test_a_mouse_turns_moves_and_zooms(shown: Visit) -> None:
    mouse, before, image = shown.page.mouse, state(shown), picture(shown)
    mouse.move(100, 100)
    mouse.down()
    mouse.move(160, 120)
    mouse.up()
    turned = state(shown)
    assert turned["yaw"] == pytest.approx(before["yaw"] - 60 * 0.008)
    assert turned["pitch"] == pytest.approx(before["pitch"] + 20 * 0.008)
    assert abs(picture(shown) - image).mean() > 0.005
    mouse.down(button="right")
    mouse.move(180, 120)
    mouse.up(button="right")
    moved = state(shown)
    assert {name for name in moved if moved[name] != turned[name]} == {"pan"}
    mouse.wheel(0, -200)
    shown.wait(f"scene.camera.distance < 0.8 * {before['distance']}")
    mouse.dblclick(100, 100)
    assert state(shown) == before


def test_fingers_turn_pinch_and_move(browser: Browser, file: Path) -> None:
    with opened(browser, file, (390, 844), touch=True) as visited:
        fingers, before = visited.page.context.new_cdp_session(visited.page), state(visited)

        def touch(*ways: tuple[tuple[int, int], tuple[int, int]]) -> dict[str, Any]:
            for kind, at in (("touchStart", 0), ("touchMove", 1), ("touchEnd", None)):
                points = (
                    [] if at is None else [{"x": way[at][0], "y": way[at][1], "id": i} for i, way in enumerate(ways)]
                )
                fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            return state(visited)

        turned = touch(((100, 300), (150, 300)))
        assert turned["yaw"] < before["yaw"]
        assert turned["distance"] == before["distance"]
        pinched = touch(((150, 300), (100, 300)), ((200, 300), (250, 300)))
        assert pinched["yaw"] == turned["yaw"]
        assert pinched["distance"] < turned["distance"] / 2
        moved = touch(((100, 300), (100, 380)), ((200, 300), (200, 380)))
        assert moved["pan"][1] > pinched["pan"][1]


def test_keys(shown: Visit) -> None:
    before, press = state(shown), shown.page.keyboard.press
    shown.page.focus("#more")  # buttons keep the space bar alone
    for key in ("ArrowLeft", "ArrowUp", "+", "w", "]", "n"):
        press(key)
    after = state(shown)
    assert {name for name in after if after[name] == before[name]} == {"time", "background", "bends"}
    press("h")
    assert not shown.page.is_visible("#bar")
    press("h")
    assert shown.page.is_visible("#panel") == (press("c") is not None)
    shown.page.focus("#view")
    press("Space")
    shown.wait("scene.time > 0")


def test_a_slider_bends_a_limb(shown: Visit, avatar: Avatar) -> None:
    """By as much as the pose with that joint bent: half a turn about z, of an elbow."""
    shown.page.click("#more")
    shown.page.click("text=Left arm")
    slider = shown.page.get_by_label("Left arm, elbow: lift")
    slider.fill("1.5")
    found, cameras = look(shown, 2, 0.0, yaw=0.2)
    body_pose = torch.zeros(1, 23, 3)
    body_pose[0, avatar.skeleton.names.index("left_elbow") - 1, 2] = 1.5
    pose = BodyPose(avatar.betas, torch.zeros(1, 3), body_pose.flatten(1), torch.zeros(1, 3))
    assert decibels(found, render(avatar.repose(pose)[0], cameras).rgb[0]) > DECIBELS
    shown.page.click("#straighten")
    assert slider.input_value() == "0"
    assert state(shown)["bends"] == []


def test_the_panel(shown: Visit, avatar: Avatar) -> None:
    page = shown.page
    assert page.title() == "Somebody"
    assert page.locator("#motion option").all_text_contents() == ["captured", "extreme", "rest pose"]
    page.click("#more")
    page.fill("#sharpness", "1")
    page.click("[aria-label=Black]")
    assert page.input_value("#background") == "#101216"
    assert state(shown)["sharpness"] == 2
    assert picture(shown)[0, 0] == pytest.approx(np.array([16, 18, 22]) / 255)
    page.click("text=About")
    facts = page.inner_text("#facts")
    for fact in ("2,000", *avatar.about.values()):
        assert fact in facts
    page.click("#more")
    page.select_option("#motion", "0")
    page.fill("#time", "0.25")
    assert state(shown)["time"] == pytest.approx(0.25)
    page.click("#play")
    shown.wait("document.getElementById('rate').textContent.endsWith(' fps')")
    shown.wait("document.getElementById('time').value != '0.25'")
    page.click("#play")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("HTMLCanvasElement.prototype.getContext = () => null", "This browser lacks WebGL2, or it is switched off."),
        ("delete globalThis.DecompressionStream", "This browser lacks DecompressionStream: it takes Chrome 80, "),
    ],
)
def test_the_page_says_what_the_browser_lacks(browser: Browser, file: Path, missing: str, said: str) -> None:
    with visit(browser, file.as_uri(), before=missing) as visited:
        visited.wait("document.body.classList.contains('bare')")
        assert visited.page.inner_text("#message").startswith(said)


def test_without_scripts_it_says_what_it_takes(browser: Browser, file: Path) -> None:
    with visit(browser, file.as_uri(), scripts=False) as visited:
        assert "takes JavaScript, WebGL2 and DecompressionStream" in visited.page.inner_text("#message")


def test_the_picture_comes_back_after_the_context_was_lost(shown: Visit) -> None:
    before = picture(shown)
    shown.page.evaluate("globalThis.lose = scene.painter.gl.getExtension('WEBGL_lose_context'), lose.loseContext()")
    shown.wait(f"!{OPENED}")
    shown.page.evaluate("lose.restoreContext()")
    shown.wait(OPENED)
    assert abs(picture(shown) - before).max() == 0
    shown.said.clear()  # what Chromium itself says of it


def test_it_plays_at_once_and_eight_bits_are_enough(browser: Browser, file: Path, avatar: Avatar) -> None:
    without = "WebGL2RenderingContext.prototype.getExtension = () => null"  # no images of 16 bits
    with visit(browser, file.as_uri(), (SIZE, SIZE), before=without) as visited:
        wait_for_the_scene(visited)
        visited.wait("scene.time > 0")
        visited.page.click("#play")
        found, cameras = look(visited, 1, 0.0, yaw=-0.4)
        pose = avatar.motions[1].pose(avatar.betas)
        assert decibels(found, render(avatar.repose(pose)[0], cameras).rgb[0]) > DECIBELS


def test_without_motions_the_rest_pose_is_shown(browser: Browser, avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(page_of(avatar, title='<b>"&'), "utf-8")
    with visit(browser, path.as_uri()) as visited:
        visited.wait(OPENED)
        assert visited.page.title() == '<b>"&'
        assert visited.page.locator("#motion option").all_text_contents() == ["rest pose"]
        assert visited.page.is_disabled("#time")
        assert visited.said == []


def test_the_command_writes_it(body: BodyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "person.avatar"
    small_avatar(body, 50).save(path)
    main(ExportConfig(path, "html", motion=("walk",)))
    page = path.with_suffix(".html").read_text("utf-8")
    assert capsys.readouterr().out.startswith(f"{path.with_suffix('.html')}: 50 Gaussians, ")
    assert "<title>person</title>" in page
    assert re.findall(r"https?://", page) == []


def test_the_source_is_checked() -> None:
    node, packages = node_packages("typescript")
    checked = [node, packages / "typescript" / "bin" / "tsc", "-p", VIEWER]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_built_viewer_is_its_source(tmp_path: Path) -> None:
    node, _ = node_packages("esbuild")
    package = json.loads((VIEWER / "package.json").read_text())
    wanted = package["devDependencies"]["esbuild"]
    built = tmp_path / "viewer.min.js"
    done = subprocess.run([node, VIEWER / "build.mjs", built], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert built.read_bytes() == (VIEWER.parent / "viewer.min.js").read_bytes(), f"npm run build, with esbuild {wanted}"
