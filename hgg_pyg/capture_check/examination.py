"""One subject looked at from all sides: what is there, what is wrong, whether it can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.capture_check.file_ends import cut_off_files, odd_files
from hgg_pyg.capture_check.odd_cameras import OddCamera, exchanged_cameras, odd_cameras
from hgg_pyg.capture_check.places import places_of
from hgg_pyg.capture_check.scene import MaskFaults, Overlap, Scene, median_overlap, read_scene
from hgg_pyg.capture_check.search import Diagnosis, diagnose
from hgg_pyg.config import ClipConfig
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import SubjectFolder
from hgg_pyg.data.choosing import even_frames, looks_of, say_of_one_camera
from hgg_pyg.data.images import mask_range
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.data.layouts.base import subject_name
from hgg_pyg.data.people import NOBODY, frames_with_person
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.types import UserError

MASK_SIZE = 192  # pixels of the longest side at which masks are compared
_MANY = 0.1  # share of the frames that may be left out without a word
_BESIDE = "the body does not lie on the person"
_MASK_WORDS = {"empty": "empty (black)", "whole": "white all over"}
_UNITS = {1.0: "metres", 10.0: "decimetres", 100.0: "centimetres", 1000.0: "millimetres"}


@dataclass(frozen=True)
class Finding:
    """Something to be looked at."""

    topic: str  # a word or two, for the verdict's line
    text: str
    serious: bool  # no training with it


@dataclass(frozen=True)
class Reach:
    """How far the cameras are from the person: a check of units that needs no pose to be right."""

    distance: float  # median over cameras and frames, in the unit of the cameras' translations
    expected: float  # metres, by the height of the masks and the focal length
    height: float  # of the body at rest, metres

    def __str__(self) -> str:
        ratio = max(self.distance / self.expected, 1e-9)
        near = min(_UNITS, key=lambda unit: abs(np.log(ratio / unit)))
        guess = _UNITS[near] if abs(np.log(ratio / near)) < np.log(1.4) else f"{ratio:.3g} times as many as metres"
        return (
            f"the cameras are {self.distance:.4g} from the person, who is {self.height:.2f} m tall; by the height of "
            f"the masks it should be {self.expected:.3g} m: {guess}"
        )


@dataclass(frozen=True)
class Examination:
    """What was found in a subject's folder; without a capture, only why there is none."""

    name: str
    layout: str
    findings: tuple[Finding, ...]
    capture: Capture | None = None
    scene: Scene | None = None  # of the images looked at
    shown_cameras: tuple[int, ...] = ()  # V, positions in the capture of the scene's cameras
    shown_frames: tuple[int, ...] = ()  # T
    overlaps: tuple[Overlap | None, ...] = ()  # V
    masks: MaskFaults | None = None
    odd: tuple[OddCamera, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    reach: Reach | None = None
    files: int = 0  # whose ends were looked at
    expected: str | None = None  # of one camera, where that is what training is to look through

    @staticmethod
    def unopened(subject: SubjectFolder, error: UserError) -> Examination:
        """Of a subject that training could not open either."""
        name = subject_name(subject.folder)
        return Examination(name, subject.layout.name, (Finding("cannot be opened", str(error), True),))

    @property
    def trainable(self) -> bool:
        """Whether there is nothing serious."""
        return not any(finding.serious for finding in self.findings)

    @property
    def overlap(self) -> Overlap | None:
        """The median camera's."""
        return median_overlap(self.overlaps)

    @property
    def verdict(self) -> str:
        """In a line."""
        topics = ", ".join(dict.fromkeys(f.topic for f in self.findings if f.serious or self.trainable))
        if not self.trainable:
            return f"not trainable: {topics}"
        return f"trainable, but look at: {topics}" if topics else "trainable"


def examine(
    subject: SubjectFolder, body: BodyModel, frames: int, cameras: int, input_views: int | None = None
) -> Examination:
    """Look at a subject.

    Args:
        subject: its folder and layout.
        body: that its poses are for.
        frames: how many frames are compared with the body, evenly spaced.
        cameras: how many cameras are, evenly spaced.
        input_views: how many cameras training is to look through; by default as many as it does by default, or all.
    """
    try:
        capture = make_capture(subject.folder, subject.layout, body, MASK_SIZE)
    except UserError as error:
        return Examination.unopened(subject, error)
    input_views = input_views or min(ClipConfig().input_views, len(capture.cameras))
    times = even_frames(0, len(capture.frames), frames)
    views = even_frames(0, len(capture.cameras), cameras)
    every = [(frame, view) for view in range(len(capture.cameras)) for frame in range(len(capture.frames))]
    paths = [files.path(*position) for files in (capture.images, capture.masks) for position in every]
    cut = cut_off_files(paths)
    lost = set(cut)
    odd_headers = odd_files([path for path in paths if path not in lost], capture.file_size)
    scene, masks = read_scene(capture, body, times, views)
    overlaps = scene.overlaps()
    overlap = median_overlap(overlaps)
    names = [capture.camera_names[view] for view in views]
    height = float(np.ptp(body.shaped_vertices(capture.poses.betas)[:, 1].numpy()))
    diagnoses: tuple[Diagnosis, ...] = ()
    if overlap is not None and not overlap.good:
        exchanged = exchanged_cameras(scene, names)
        diagnoses = diagnose(scene, height) if exchanged is None else (exchanged,)
    odd = odd_cameras(scene, overlaps)
    findings = [
        *_of_counts(capture, input_views),
        *(_of_people(capture, body, times, input_views) if overlap is None or not overlap.bad else ()),
        *_of_files(capture, cut, odd_headers, masks, scene),
        *_of_overlap(capture, overlap, diagnoses),
        *(Finding(f"camera '{names[item.camera]}'", _of_odd(item, names), False) for item in odd),
    ]
    return Examination(
        name=capture.name,
        layout=capture.layout,
        findings=tuple(findings),
        capture=capture,
        scene=scene,
        shown_cameras=views,
        shown_frames=times,
        overlaps=overlaps,
        masks=masks,
        odd=odd,
        diagnoses=diagnoses,
        reach=_reach(scene, height),
        files=len(paths),
        expected=say_of_one_camera([looks_of(capture, spread_cameras(capture, 1))]) if input_views == 1 else None,
    )


def _of_counts(capture: Capture, needed: int) -> list[Finding]:
    few, found = len(capture.cameras), []
    several = f"{few} cameras" if few > 1 else "1 camera"
    if needed <= few < ClipConfig().input_views:
        found.append(Finding("few cameras", f"{several}: train with --clip.input-views {few}, not on LGM", False))
    if few < needed:
        text = f"expected at least {needed} cameras, the input views of training, found {few}"
        fewer = f"train with --clip.input-views {few}, not on LGM, and check with --input-views {few}"
        found.append(Finding("too few cameras", f"{text}: {fewer}", True))
    if len(capture.frames) < 2:
        found.append(Finding("a single frame", "there is no pose that training has not seen, to be scored in", False))
    lost = sum(len(item.names) for item in capture.left_out if item.what == "frame")
    if lost > _MANY * (lost + len(capture.frames)):
        reasons = "; ".join(str(item) for item in capture.left_out if item.what == "frame")
        found.append(Finding("frames left out", f"of {lost + len(capture.frames)} frames: {reasons}", False))
    found += [Finding("cameras left out", str(item), False) for item in capture.left_out if item.what == "camera"]
    return found


def _of_people(capture: Capture, body: BodyModel, looked_at: Sequence[int], input_views: int) -> list[Finding]:
    """Frames that training leaves out; it needs one that it does not."""
    inputs = spread_cameras(capture, min(input_views, len(capture.cameras)))
    seen = set(frames_with_person(capture, inputs, body, looked_at))
    empty = [frame for frame in looked_at if frame not in seen]
    if not empty:
        return []
    others = (frame for frame in range(len(capture.frames)) if frame not in looked_at)
    if not seen and not any(frames_with_person(capture, inputs, body, [frame]) for frame in others):
        return [Finding("nobody in the masks", f"expected a frame that shows the person, found none: {NOBODY}", True)]
    many = f"{len(empty)} of {len(looked_at)} frames looked at, {capture.frames[empty[0]]} the first"
    return [Finding("frames without a person", f"{many}: {NOBODY}; training leaves them out", False)]


def _of_files(
    capture: Capture, cut: Sequence[Path], odd: Sequence[str], masks: MaskFaults, scene: Scene
) -> list[Finding]:
    found = []
    if cut:
        many = f"{len(cut)} files are" if len(cut) > 1 else "1 file is"
        text = (
            f"{many} cut off or no image, the first is {cut[0]}: training stops at such a file; restore it, or "
            "delete it, and its frame is left out"
        )
        found.append(Finding("files cut off", text, True))
    broken = [*odd, *(text for frame, view, text in masks.broken if capture.masks.path(frame, view) not in cut)]
    found += [Finding("broken files", text, True) for text in broken[:1]]
    for word, positions in (("empty", masks.empty), ("whole", masks.whole)):
        if len(positions):
            many = f"{len(positions)} of {scene.usable.size} masks looked at {'are' if len(positions) > 1 else 'is'}"
            text = f"{many} {_MASK_WORDS[word]}, the first is {next(capture.masks.path(*at) for at in positions)}"
            text += _of_faint(capture, positions) if word == "empty" else ""
            found.append(Finding(f"{word} masks", text, word == "whole" and not scene.usable.any()))
    return found


def _of_faint(capture: Capture, positions: Sequence[tuple[int, int]]) -> str:
    """What the brightest of the masks that are taken for black holds, if anything; "" for labels and inverted ones."""
    if capture.masks.labels or capture.masks.inverted:
        return ""
    value, white, path = max((*mask_range(path)[:2], path) for path in (capture.masks.path(*at) for at in positions))
    if not value:
        return ""
    white = capture.masks.white or white
    return f"; the largest value among them is {value} of {white}, in {path}: the person must be {white}, or near it"


def _of_overlap(capture: Capture, overlap: Overlap | None, diagnoses: Sequence[Diagnosis]) -> list[Finding]:
    if overlap is None or overlap.good:
        return []
    places = places_of(capture)
    found = [Finding(_BESIDE, f"likely fault: {diagnosis.text(places)}", True) for diagnosis in diagnoses]
    if found:
        return found
    unknown = f"{_BESIDE}, and no known mistake explains it: look at the images"
    if overlap.bad:
        return [Finding(_BESIDE, unknown, True)]
    loose = "the body lies badly on the person: a wrong pose or shape, or very loose clothes; look at the images"
    return [Finding("overlap", loose, False)]


def _of_odd(item: OddCamera, names: Sequence[str]) -> str:
    text = (
        f"camera '{names[item.camera]}' alone: IoU {item.overlap.iou:.2f}, others {item.others.iou:.2f}: its "
        "calibration, or its images, belong to another camera"
    )
    fits = "" if item.fits is None else f"; its images fit the calibration of '{names[item.fits]}'"
    return f"{text}{fits}. Correct it, or move its images away, and it is left out"


def _reach(scene: Scene, height: float) -> Reach | None:
    if not scene.usable.any():
        return None
    centers = -(scene.viewmats[:, :3, :3].mT @ scene.viewmats[:, :3, 3:])[..., 0]
    person = scene.vertices.mean(1)
    distance = np.linalg.norm(person[:, None] - centers, axis=-1)
    tall = scene.masks.any(3).sum(2)
    expected = scene.Ks[:, 1, 1] * height / np.maximum(tall, 1)
    return Reach(float(np.median(distance)), float(np.median(expected[scene.usable])), height)
