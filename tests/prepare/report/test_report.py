"""The page of what was prepared: all of it is there, and its numbers are those of the data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.body import JOINTS, load_body
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.kernels.raster import silhouette
from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.prepare.rays import normalised
from hgg_pyg.prepare.report import charts, tiles, write_report
from hgg_pyg.prepare.report.grade import grade
from hgg_pyg.prepare.report.numbers import count
from hgg_pyg.prepare.report.silhouettes import overlaps, views_of
from hgg_pyg.prepare.report.stage_view import upwards
from hgg_pyg.prepare.triangulation import Triangulated, triangulate
from hgg_pyg.types import BodyPose
from tests.chromium import open_chromium, visit
from tests.prepare.scenes import ring, seen

SIZE = (250, 300)
FRAMES = 4
NAME = "<b>& \"$x$' é"
SECTIONS = (
    "Cameras",
    "What was found in the images",
    "Cameras and the person in the world",
    "Reprojection by camera",
    "Reprojection by landmark",
    "Reprojection over time",
    "Body and mask over time",
    "Length of limbs over time",
    "From landmarks to the body",
    "Cameras put right",
    "What was left out",
    "Notes",
)
VOID = {"meta", "input", "br", "image", "use", "link"}


class Reader(HTMLParser):
    """Headings, texts and attributes; refuses elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def small(calibration: Calibration) -> Calibration:
    return replace(
        calibration, K=calibration.intrinsics(SIZE), sizes=(SIZE,) * len(calibration.names), names=calibration.names
    )


def filed_masks(prepared: Prepared) -> None:
    """The body as the cameras see it through their lenses, and images of the same."""
    views, body = views_of(prepared), prepared.body
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    pixels = np.stack([columns, rows], -1).reshape(1, -1, 2)
    vertices = body.pose(prepared.pose).vertices.double().numpy()
    for view in range(len(views.Ks)):
        K = views.Ks[view]
        ideal = normalised(pixels, prepared.calibration.select([view]))[0] * K[[0, 1], [0, 1]] + K[:2, 2]
        x, y = np.nan_to_num(ideal, nan=-1).astype(int).T.reshape(2, SIZE[1], SIZE[0])
        inside = (x >= 0) & (y >= 0) & (x < SIZE[0]) & (y < SIZE[1])
        for frame in range(len(prepared.times)):
            shape = silhouette(vertices[frame], body.faces.numpy(), views.viewmats[view], K, SIZE)
            filed = np.where(inside, shape[y.clip(0, SIZE[1] - 1), x.clip(0, SIZE[0] - 1)], False).astype(np.uint8)
            prepared.mask(frame, view).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(filed * 255).save(prepared.mask(frame, view))
            Image.fromarray(np.stack([filed * 150 + 60] * 3, -1)).save(prepared.image(frame, view))


def found_of(points2d: np.ndarray, calibration: Calibration) -> Triangulated:
    """What is triangulated; of one camera nothing is in space."""
    if len(calibration.names) > 1:
        return triangulate(points2d, calibration, COCO_17)
    frames, views, joints = points2d.shape[:3]
    return Triangulated(
        points3d=np.full((frames, joints, 3), np.nan),
        used=np.zeros((frames, views, joints), bool),
        errors=np.full((frames, views, joints), np.nan),
        points2d=points2d,
        swapped=np.zeros((frames, views, 3), bool),
        dropped=np.zeros((frames, joints), bool),
    )


def make(folder: Path, cameras: int = 3, lens: tuple[float, ...] = (-0.5, 0.1, 1e-3, -8e-4, 0.0)) -> Prepared:
    """Someone who stands with open arms and drifts."""
    calibration, body = small(ring(cameras, 2.4, lens)), load_body()
    transl = torch.tensor([[0.05 * frame, 0.3, 0.0] for frame in range(FRAMES)])
    pose = BodyPose(torch.zeros(4), torch.zeros(FRAMES, 3), torch.zeros(FRAMES, 69), transl)
    joints = body.rest_joints(pose.betas).double().numpy()
    at = [JOINTS.index(name) if name in JOINTS else JOINTS.index("head") for name in COCO_17.points]
    points = joints[at] + np.arange(len(at))[:, None] * [0, 0, 1e-3] + transl.double().numpy()[:, None]
    prepared = Prepared(
        name=NAME,
        folder=folder,
        calibration=calibration,
        size=SIZE,
        times=np.arange(FRAMES) / 10,
        sources=np.arange(FRAMES)[:, None].repeat(cameras, 1),
        landmarks=COCO_17,
        found=found_of(seen(points, calibration, noise=0.5), calibration),
        seen=np.ones((FRAMES, cameras), bool),
        body=body,
        pose=pose,
        fit={
            "names": np.array(COCO_17.points),
            "distances": np.full((FRAMES, 17), 0.02) * np.linspace(0.5, 1.5, 17),
            "camera_turned": np.linspace(0.1, 0.7, cameras),
            "camera_moved": np.linspace(0.01, 0.02, cameras),
            "reprojection_before": np.array(5.5),
            "reprojection_after": np.array(2.25),
        },
        left_out=(LeftOut("camera", (NAME,), "it is <i>dark</i>"),),
        notes=("cut & padded",),
        settings={"fit.steps": 7, "videos": "a<b"},
    )
    filed_masks(prepared)
    return prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The second camera does not agree about the left wrist."""
    prepared = make(tmp_path_factory.mktemp("prepared"))
    prepared.found.used[:, 1, COCO_17.index("left_wrist")] = False
    return prepared


def written(prepared: Prepared, folder: Path) -> tuple[Reader, dict]:
    page = write_report(folder, prepared)
    assert page == folder / "report.html"
    numbers = json.loads((folder / "report.json").read_text("utf-8"))
    return Reader(page.read_text("utf-8")), numbers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def report(prepared: Prepared, folder: Path) -> tuple[Reader, dict]:
    return written(prepared, folder)


def test_page_has_all_sections_and_describes_its_pictures(report: tuple[Reader, dict]) -> None:
    page, _ = report
    assert tuple(page.texts["h2"]) == SECTIONS
    assert page.texts["h1"] == [f"Preparation of {NAME}"]
    pictures = [picture for picture in page.all("svg") if picture.get("role") == "img"]
    charts = [picture for picture in pictures if picture.get("class") == "chart"]
    assert len(charts) == 8
    assert len(pictures) - len(charts) == 3 * FRAMES
    assert all(picture["aria-label"] for picture in pictures)
    assert len(page.all("image")) >= 3 * FRAMES
    assert not page.all("script")
    addresses = [value for _, attributes in page.elements for key, value in attributes.items() if "href" in key]
    assert all(value and value.startswith(("data:", "#")) for value in addresses)
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    used = {value for _, attributes in page.elements for value in re.findall(r"url\(#(\w+)\)", str(attributes))}
    assert used <= set(identifiers)
    assert len(set(identifiers)) == len(identifiers)


def test_names_are_texts_and_not_elements(report: tuple[Reader, dict]) -> None:
    page, numbers = report
    assert not page.all("b")
    assert any("it is <i>dark</i>" in text for text in page.texts["li"])
    assert "cut & padded" in page.texts["li"]
    assert numbers["name"] == NAME
    assert numbers["settings"] == {"fit.steps": 7, "videos": "a<b"}


def test_numbers_are_those_of_the_data(prepared: Prepared, report: tuple[Reader, dict]) -> None:
    page, numbers = report
    found = prepared.found
    errors = found.errors[np.isfinite(found.errors)]  # all are sure
    assert numbers["frames"] == FRAMES
    assert numbers["seconds"] == pytest.approx(0.3)
    assert numbers["found"] == 3 * FRAMES
    assert numbers["reprojection"] == pytest.approx(np.median(errors))
    assert numbers["reprojection_used"] == pytest.approx(np.median(found.errors[found.used]))
    assert (numbers["reprojection_before"], numbers["reprojection_after"]) == (5.5, 2.25)
    assert numbers["distance"] == pytest.approx(20)
    for view, camera in enumerate(numbers["cameras"]):
        assert camera["reprojection"] == pytest.approx(np.median(found.errors[:, view]))
        assert camera["turned"] == pytest.approx(prepared.fit["camera_turned"][view])
    thigh = next(bone for bone in numbers["bones"] if bone["name"] == "left_hip - left_knee")
    ends = [found.points3d[:, COCO_17.index(name)] for name in ("left_hip", "left_knee")]
    assert thigh["length"] == pytest.approx(np.median(np.linalg.norm(ends[0] - ends[1], axis=-1)))
    cells = page.texts["td"]
    assert "from 5.5 to 2.2 px" in cells or "from 5.5 to 2.3 px" in cells
    assert f"{numbers['cameras'][1]['iou']:.2f}" in cells


def test_body_lies_on_masks_seen_through_the_lens(prepared: Prepared, report: tuple[Reader, dict]) -> None:
    """Masks are of the body itself, so only pixels at the edges differ; without the lens it is not so."""
    _, numbers = report
    assert min(camera["iou"] for camera in numbers["cameras"]) > 0.98
    straight = replace(prepared.calibration, distortion=np.zeros((3, 5)))
    ignored = overlaps(replace(prepared, calibration=straight), views_of(replace(prepared, calibration=straight)))
    assert max(overlap.iou for overlap in ignored.of_cameras if overlap) < 0.97


def test_a_good_capture_is_said_to_be_good(prepared: Prepared) -> None:
    overlap = overlaps(prepared, views_of(prepared)).of_cameras
    assert grade(count(prepared, overlap), overlap).word == "good"


def far_from_the_masks(prepared: Prepared) -> Prepared:
    return replace(prepared, pose=replace(prepared.pose, transl=prepared.pose.transl + torch.tensor([0, 0.6, 0])))


def hardly_found(prepared: Prepared) -> Prepared:
    return replace(prepared, seen=np.arange(12).reshape(4, 3) < 3)


def off_in_images(prepared: Prepared) -> Prepared:
    return replace(prepared, found=replace(prepared.found, errors=prepared.found.errors + 20))


def off_the_body(prepared: Prepared) -> Prepared:
    return replace(prepared, fit={**prepared.fit, "distances": np.full((FRAMES, 17), 0.2)})


def growing(prepared: Prepared) -> Prepared:
    points = prepared.found.points3d * np.linspace(0.5, 1.5, FRAMES)[:, None, None]
    return replace(prepared, found=replace(prepared.found, points3d=points))


@pytest.mark.parametrize(
    ("damage", "word", "said"),
    [
        (far_from_the_masks, "bad", "does not lie well"),
        (hardly_found, "bad", "found in 3 of 12"),
        (off_in_images, "bad", "pixels from where"),
        (off_the_body, "bad", "200 mm"),
        (growing, "doubtful", "change their length"),
    ],
)
def test_what_is_wrong_is_said(
    prepared: Prepared, damage: Callable[[Prepared], Prepared], word: str, said: str
) -> None:
    damaged = damage(prepared)
    overlap = overlaps(damaged, views_of(damaged)).of_cameras
    found = grade(count(damaged, overlap), overlap)
    assert found.word == word
    assert any(said in reason for reason in found.reasons)


def test_dropped_landmarks_are_crossed(report: tuple[Reader, dict]) -> None:
    page, numbers = report
    crosses = [path for path in page.all("path") if path.get("class") == "dropped"]
    assert len(crosses) == FRAMES
    assert page.texts["title"].count("left_wrist, dropped") == FRAMES
    lines = [line for line in page.all("line") if line.get("class") == "dropped"]
    assert len(lines) == FRAMES  # the one bone that COCO's wrists are of
    assert numbers["cameras"][1]["dropped"] == pytest.approx(1 / 17)


def test_what_is_missing_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One camera, so no point in space; no landmark in a frame; an image and a mask that are broken or gone."""
    prepared = make(tmp_path / "capture", cameras=1)
    points2d = prepared.found.points2d.copy()
    points2d[0] = np.nan
    found = found_of(points2d, prepared.calibration)
    prepared.image(0, 0).write_bytes(b"no image")
    prepared.mask(1, 0).unlink()
    bare = replace(prepared, found=found, fit={}, left_out=(), notes=(), settings={}, seen=prepared.seen & True)
    page, numbers = written(bare, tmp_path)
    assert tuple(page.texts["h2"]) == SECTIONS
    assert page.texts["text"].count("no image") == 1
    assert sum("left out of the report" in line for line in caplog.messages) >= 2
    assert numbers["reprojection"] is None
    assert numbers["distance"] is None
    assert numbers["cameras"][0]["iou"] > 0.9
    assert "There are no landmarks in images to compare with." in page.texts["p"]
    assert any(text.startswith("Nothing:") for text in page.texts["p"])
    assert "nan" not in " ".join(text for texts in page.texts.values() for text in texts).lower()


def test_nobody_is_found_anywhere(prepared: Prepared, tmp_path: Path) -> None:
    nothing = np.full_like(prepared.found.points2d, np.nan)
    bare = replace(
        prepared,
        found=triangulate(nothing, prepared.calibration, COCO_17),
        seen=np.zeros_like(prepared.seen),
    )
    page, numbers = written(bare, tmp_path)
    assert page.texts["strong"] == ["bad"]
    assert numbers["iou"] is None


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_world_may_be_turned(prepared: Prepared, axis: int, sign: int) -> None:
    """Up is found from cameras and person together."""
    turn = sign * np.roll(np.eye(3), axis - 1, 0)
    turn = turn if np.linalg.det(turn) > 0 else np.diag([-1.0 if n == (axis + 1) % 3 else 1 for n in range(3)]) @ turn
    calibration = replace(prepared.calibration, R=prepared.calibration.R @ turn.T)
    vertices = prepared.body.pose(prepared.pose[[0]]).vertices[0].double().numpy() @ turn.T
    assert upwards(replace(prepared, calibration=calibration), vertices) == (axis, sign)


def test_very_many_cameras_make_no_larger_a_page(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten cameras on a page that has room for eight tiles and boxes: these are there, and the numbers of all."""
    monkeypatch.setattr(tiles, "_MOST", 8)
    monkeypatch.setattr(charts, "_MOST_BOXES", 8)
    times = 10
    wide = prepared.calibration
    names = tuple(f"cam{number:02d}" for number in range(times))
    pick = np.arange(times) % 3
    calibration = replace(wide.select(pick.tolist()), names=names)
    for number, name in enumerate(names):
        (tmp_path / name).symlink_to(prepared.folder / wide.names[pick[number]])
    found = prepared.found
    many = replace(
        prepared,
        folder=tmp_path,
        calibration=calibration,
        sources=prepared.sources[:, pick],
        seen=prepared.seen[:, pick],
        found=replace(
            found, used=found.used[:, pick], errors=found.errors[:, pick], points2d=found.points2d[:, pick],
            swapped=found.swapped[:, pick],
        ),
        fit={},
    )  # fmt: skip
    many = replace(many, pose=replace(many.pose, transl=many.pose.transl + torch.tensor([0, 0.6, 0])))
    page, numbers = written(many, tmp_path)
    assert len(numbers["cameras"]) == times
    reasons = [text for text in page.texts["li"] if "lie well" in text or text.startswith("nor does it")]
    assert len(reasons) == 5
    assert reasons[-1].endswith("and 2 more")
    assert len(page.all("figure")) == 8
    assert math.isfinite(numbers["iou"])


@pytest.mark.usefixtures("report")
def test_it_fits_a_telephone_and_asks_for_nothing(folder: Path) -> None:
    with open_chromium() as browser, visit(browser, (folder / "report.html").as_uri(), size=(400, 800)) as visited:
        assert visited.page.evaluate("document.documentElement.scrollWidth") <= 400
        outlines = "[...document.querySelectorAll('path.mask')].map(path => path.getBoundingClientRect().width > 0)"
        assert visited.page.evaluate(outlines) == [True] * (3 * FRAMES)
        visited.page.get_by_label("mask", exact=True).click()
        assert visited.page.evaluate(outlines) == [False] * (3 * FRAMES)
        assert not visited.said
        assert all(address.startswith(("file:", "data:")) for address in visited.asked)
