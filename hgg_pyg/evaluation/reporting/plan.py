"""Which images are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hgg_pyg.data.capture import Capture
from hgg_pyg.data.choosing import EVEN, even_frames
from hgg_pyg.data.clips import Target, input_range
from hgg_pyg.data.frames import FrameSource, input_frames
from hgg_pyg.evaluation.reporting.image_folder import ImageFolder, Wanted
from hgg_pyg.evaluation.reporting.report import TASKS
from hgg_pyg.types import UserError


@dataclass(frozen=True)
class Plan:
    """The same images for all methods."""

    targets: dict[tuple[str, str], list[Target]]  # by subject and task
    absent: frozenset[tuple[str, str]]  # methods, and tasks that they take no part in
    notes: tuple[str, ...]  # what is missing, and why


def targets_of(task: str, source: FrameSource, inputs: Sequence[int], limit: int | None) -> list[Target]:
    """What a task compares: held-out cameras of the input frames, or every camera of the frames after them."""
    cameras, count = range(len(source.capture.cameras)), len(source.capture.frames)
    if task == "novel view":
        pairs = [(frame, camera) for frame in inputs for camera in cameras if camera not in source.cameras]
    else:
        pairs = [(frame, camera) for frame in range(input_range(source.capture), count) for camera in cameras]
    pairs = [pairs[i] for i in even_frames(0, len(pairs), limit or len(pairs))] if pairs else []
    by_frame = {frame: tuple(c for f, c in pairs if f == frame) for frame, _ in pairs}
    return [Target(frame, chosen) for frame, chosen in by_frame.items()]


def make_plan(
    sources: Sequence[FrameSource],
    frames: int,
    limit: int | None,
    folders: Sequence[ImageFolder] = (),
    allow_missing: bool = False,
    choose: str = EVEN,
) -> Plan:
    """All images that there are, or `limit` a subject and task, less those that a folder lacks if it may.

    Args:
        sources: test captures.
        frames: T of the main method, whose input frames the novel views are of.
        limit: images per subject and task at most, evenly spaced.
        folders: images of other methods.
        allow_missing: leave out, for all methods, what a folder lacks.
        choose: which T frames those of the main method are.

    Raises:
        UserError: a folder lacks images and may not, or has wrong ones.
    """
    targets: dict[tuple[str, str], list[Target]] = {}
    notes: list[str] = []
    for source in sources:
        inputs = input_frames(source, frames, choose)
        for task in TASKS:
            targets[source.capture.name, task] = targets_of(task, source, inputs, limit)
    for task, lacking in zip(TASKS, ("cameras that are not input", "frames after the input range"), strict=True):
        without = [name for (name, of), found in targets.items() if of == task and not found]
        if len(without) == len(sources):
            notes.append(f"{task} is left out: no test subject has {lacking}")
        elif without:
            notes.append(f"{task} is left out for subjects without {lacking}: {', '.join(without)}")
    wanted = [
        wanted_image(source.capture, task, target.frame, camera)
        for source in sources
        for task in TASKS
        for target in targets[source.capture.name, task]
        for camera in target.cameras
    ]
    missing: set[Wanted] = set()
    absent: set[tuple[str, str]] = set()
    for folder in folders:
        lost, tasks = folder.check(wanted)
        absent |= {(folder.name, task) for task in tasks}
        notes += [f"{folder.name} has no image of {task} and takes no part in it" for task in tasks]
        if lost:
            text = f"{len(lost)} of {len(wanted)} images are missing, {folder.folder / lost[0].path} the first"
            if not allow_missing:
                raise UserError(f"--method {folder.name}: {text}; --allow-missing leaves them out for all methods")
            notes.append(f"{folder.name}: {text}; they are left out for all methods")
            missing.update(lost)
    if missing:
        for source in sources:
            for task in TASKS:
                found = targets[source.capture.name, task]
                targets[source.capture.name, task] = _without(missing, source.capture, task, found)
    return Plan(targets, frozenset(absent), tuple(notes))


def wanted_image(capture: Capture, task: str, frame: int, camera: int) -> Wanted:
    """The image of a frame from a camera, both by position."""
    return Wanted(capture.name, task, capture.camera_names[camera], capture.frames[frame], capture.size())


def _without(missing: set[Wanted], capture: Capture, task: str, targets: Sequence[Target]) -> list[Target]:
    kept = []
    for target in targets:
        cameras = tuple(c for c in target.cameras if wanted_image(capture, task, target.frame, c) not in missing)
        if cameras:
            kept.append(Target(target.frame, cameras))
    return kept
