"""The third stage: which of the people it is, where the landmarks are in space, and which moments are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.association import choose_person
from hgg_pyg.prepare.calibrations import calibration_faults
from hgg_pyg.prepare.calibrations.from_person import cameras_from_landmarks
from hgg_pyg.prepare.camera_refinement import CameraRefinementConfig, refine_cameras
from hgg_pyg.prepare.footage.clock import Span
from hgg_pyg.prepare.footage.filming import Filmed
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.prepare.progress import Bar
from hgg_pyg.prepare.rays import project
from hgg_pyg.prepare.selection import Selection, select
from hgg_pyg.prepare.stages import Stage
from hgg_pyg.prepare.synchrony import late_cameras
from hgg_pyg.prepare.triangulation import Triangulated, TriangulationConfig, reprojection, triangulate
from hgg_pyg.types import UserError

_ARRAYS = "points.npz"
_TOLD = "told."
_AGREE = 0.5  # share of the landmarks that must agree with their point, and of a camera's people who are the person
_TURN, _MOVE = 0.05, 0.001  # degrees and metres, from which on it is said that cameras were put right

MaskOf = Callable[[int, int, np.ndarray], Path | None]
"""The file of the mask of somebody with these landmarks [J, 3], by frame and camera; None if there is none"""


@dataclass(frozen=True, eq=False)
class Located:
    """The person in the F moments and V cameras that are kept."""

    landmarks: LandmarkSet
    calibration: Calibration  # V
    selection: Selection  # which moments and cameras of the footage these are
    found: Triangulated  # [F, V, J]
    masks: tuple[tuple[Path | None, ...], ...]  # F x V; None where the person was not found
    notes: tuple[str, ...]  # what was done to the cameras, in sentences
    told: Mapping[str, np.ndarray]  # the same in numbers, as the report takes them

    @property
    def seen(self) -> np.ndarray:
        """Whether the person was found in the image. [F, V] bool"""
        return np.array([[path is not None for path in row] for row in self.masks])


def locate(
    stage: Stage,
    sightings: Sequence[Sequence[Sequence[Sighting]]],
    landmarks: LandmarkSet,
    filmed: Filmed,
    person: int | None,
    height: float | None,
    config: TriangulationConfig,
    refinement: CameraRefinementConfig,
    offsets: Mapping[str, Span],
    mask_of: MaskOf,
    bar: Bar,
) -> Located:
    """Choose the person and triangulate the landmarks, unless that is done.

    Args:
        stage: where the result is kept.
        sightings: the people in F x V images.
        landmarks: that they have.
        filmed: the images.
        person: which of the people, from 1; None is the first.
        height: the person's, metres, by which the cameras are placed; None: they stand where the calibration has them.
        config: when views agree.
        refinement: how far cameras may be from where the calibration has them.
        offsets: of cameras, that were taken into account when they were filmed.
        mask_of: where masks are.
        bar: of the progress.

    Raises:
        UserError: as `cameras_from_landmarks`, `choose_person` and `select`, there are no masks, or views disagree;
            with the mistake that would explain it, if one does.
    """
    if not stage.done:
        done, cameras, notes = bar(3), filmed.calibration, []
        if height is not None:
            placed = cameras_from_landmarks(cameras, _surest(sightings, len(landmarks)), landmarks, height)
            cameras = placed.calibration
            notes.append(
                f"cameras are placed by {placed.used} landmarks of a person of {height:g} m, which lie "
                f"{max(placed.error):.1f} pixels off in the worst camera's median"
            )
        try:
            chosen = choose_person(sightings, cameras, landmarks, person)
        except UserError:
            _refuse_faults(_surest(sightings, len(landmarks)), landmarks, cameras, filmed)
            raise
        points = np.full((*chosen.shape, len(landmarks), 3), np.nan)
        for frame, camera in np.argwhere(chosen >= 0).tolist():
            points[frame, camera] = sightings[frame][camera][chosen[frame, camera]].points
        done(1)
        found = triangulate(points, cameras, landmarks, config)
        done(1)
        somebody = np.array([[bool(people) for people in row] for row in sightings])
        strange = ((chosen >= 0).sum(0) < _AGREE * somebody.sum(0)).any()
        if strange or reprojection(found).agreeing < _AGREE:
            _refuse_faults(_surest(sightings, len(landmarks)) if strange else points, landmarks, cameras, filmed)
        already = {name: span.in_seconds(filmed.rate) * filmed.rate for name, span in offsets.items()}
        notes += late_cameras(points, cameras, filmed.ticks.tolist(), already)
        better = refine_cameras(found, cameras, refinement)
        if better.calibration is not cameras:
            found = triangulate(points, better.calibration, landmarks, config)
        if better.turned.max() > _TURN or better.moved.max() > _MOVE:
            notes.append(
                f"cameras are turned by up to {better.turned.max():.2f} degrees and moved by up to "
                f"{100 * better.moved.max():.1f} cm, by which landmarks come from {better.before:.1f} to "
                f"{better.after:.1f} pixels of where they are seen in the median"
            )
        done(1)
        told = {
            "camera_turned": better.turned,
            "camera_moved": better.moved,
            "reprojection_before": np.array(better.before),
            "reprojection_after": np.array(better.after),
        }
        _save(stage, found, points, better.calibration, notes, told)
    return _kept(stage, landmarks, filmed, mask_of)


def place(
    stage: Stage,
    points3d: np.ndarray,
    landmarks: LandmarkSet,
    filmed: Filmed,
    mask_of: MaskOf,
) -> Located:
    """The same from landmarks in space, which are taken as they are.

    Args:
        stage: where the result is kept.
        points3d: [F, J, 3] metres, NaN where missing.
        landmarks: J points.
        filmed, mask_of: as of `locate`.

    Raises:
        UserError: as `select`, or there are no masks.
    """
    if not stage.done:
        seen = project(points3d, filmed.calibration)
        unknown = np.full((*seen.shape[:3], 3), np.nan)
        frames, cameras, _ = seen.shape[:3]
        found = Triangulated(
            points3d=points3d,
            used=np.zeros(seen.shape[:3], bool),
            errors=unknown[..., 0],
            points2d=unknown,
            swapped=np.zeros((frames, cameras, 3), bool),
            dropped=np.zeros(points3d.shape[:2], bool),
        )
        _save(stage, found, np.concatenate([seen, np.ones_like(seen[..., :1])], -1), filmed.calibration)
    return _kept(stage, landmarks, filmed, mask_of)


def _surest(sightings: Sequence[Sequence[Sequence[Sighting]]], points: int) -> np.ndarray:
    """The landmarks of the first person of each image. [F, V, J, 3], NaN for nobody"""
    nobody = np.full((points, 3), np.nan)
    return np.array([[people[0].points if people else nobody for people in row] for row in sightings])


def _refuse_faults(points: np.ndarray, landmarks: LandmarkSet, cameras: Calibration, filmed: Filmed) -> None:
    """End with the mistake that explains why views disagree, if there is one.

    Raises:
        UserError: there is.
    """
    steps = np.diff(filmed.ticks)
    every = int(np.median(steps)) if len(steps) else 1
    if fault := calibration_faults(points, cameras, [filmed.size] * filmed.shape[1], every, landmarks):
        raise UserError(f"likely fault: {fault}")


def _save(
    stage: Stage,
    found: Triangulated,
    looked_for: np.ndarray,
    cameras: Calibration,
    notes: Sequence[str] = (),
    told: Mapping[str, np.ndarray] | None = None,
) -> None:
    arrays = {item.name: getattr(found, item.name) for item in fields(found)}
    arrays |= {f"{_TOLD}{name}": values for name, values in (told or {}).items()}
    stage.save(_ARRAYS, looked_for=looked_for, R=cameras.R, T=cameras.T, **arrays)
    stage.finish({"notes": notes})


def _kept(stage: Stage, landmarks: LandmarkSet, filmed: Filmed, mask_of: MaskOf) -> Located:
    arrays = stage.load(_ARRAYS)
    looked_for = arrays.pop("looked_for")
    cameras = replace(filmed.calibration, R=arrays.pop("R"), T=arrays.pop("T"))
    told = {name.removeprefix(_TOLD): arrays.pop(name) for name in list(arrays) if name.startswith(_TOLD)}
    found = Triangulated(**arrays)
    frames = [
        [mask_of(frame, camera, points) for camera, points in enumerate(row)] for frame, row in enumerate(looked_for)
    ]
    seen = np.array([[path is not None for path in row] for row in frames])
    if not seen.any():
        raise UserError("expected masks of the person, found none: give your own by --masks, or another --landmarker")
    kept = select(found.points3d, seen, cameras, filmed.size, filmed.numbers.tolist())
    masks = tuple(tuple(frames[frame][camera] for camera in kept.cameras) for frame in kept.frames)
    return Located(
        landmarks=landmarks,
        calibration=cameras.select(kept.cameras.tolist()),
        selection=kept,
        found=_selected(found, kept),
        masks=masks,
        notes=tuple(stage.record()["notes"]),
        told={name: values[kept.cameras] if values.ndim else values for name, values in told.items()},
    )


def _selected(found: Triangulated, kept: Selection) -> Triangulated:
    both = np.ix_(kept.frames, kept.cameras)
    return Triangulated(
        points3d=found.points3d[kept.frames],
        used=found.used[both],
        errors=found.errors[both],
        points2d=found.points2d[both],
        swapped=found.swapped[both],
        dropped=found.dropped[kept.frames],
    )
