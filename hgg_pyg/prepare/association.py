"""Whom to take: the person whom most cameras see most of the time, among bystanders and false sightings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.calibrations import calibration_faults
from hgg_pyg.prepare.grouping import SightedJoints, pack
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.prepare.strangers import AGREES, nobody_agrees, refuse_strangers
from hgg_pyg.prepare.tracking import Track, tracks_of
from hgg_pyg.types import UserError

_LEAST = 0.25, 0.1  # shares of the first person's frames and votes that another must have: not by chance nor in passing
_LOOKS = 30  # frames at most that are looked at to say what is wrong with a calibration


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody whom at least two cameras see."""

    sighting: np.ndarray  # [F, V] which sighting of each image, -1 for none; frames with one view or none are all -1
    votes: float  # of all frames and views, each up to 1; those of people who look small count half

    @property
    def frames(self) -> np.ndarray:
        """Frames in which at least two views see the person. [F] bool"""
        return (self.sighting >= 0).sum(1) >= 2


def choose_person(
    sightings: Sequence[Sequence[Sequence[Sighting]]],
    calibration: Calibration,
    landmarks: LandmarkSet,
    person: int | None = None,
) -> np.ndarray:
    """Which sighting of each image is the person.

    Args:
        sightings: by frame and camera.
        calibration: V cameras; K in the pixels of the sightings.
        landmarks: that the sightings have.
        person: from 1, of those whom `find_people` finds; None is 1.

    Returns:
        [F, V] int, -1 for none. Frames in which fewer than two views see the person are -1 throughout.

    Raises:
        UserError: as `find_people`, or there are not as many people.
    """
    people = find_people(sightings, calibration, landmarks)
    number = 1 if person is None else person
    if not 1 <= number <= len(people):
        there = f"1 to {len(people)}" if len(people) > 1 else "1, the only person whom two cameras see"
        raise UserError(f"--person: expected {there}, found {number}")
    return people[number - 1].sighting


def find_people(
    sightings: Sequence[Sequence[Sequence[Sighting]]], calibration: Calibration, landmarks: LandmarkSet
) -> list[Person]:
    """The people whom at least two cameras see, those seen by most cameras, longest and largest first.

    Raises:
        UserError: nobody was found in any image, no two cameras agree on anybody, or a camera that sees somebody fits
            the others in hardly any frame; where one is why: mirrored images, or metres that are none.
    """
    seen = pack(sightings, calibration, landmarks)
    if not (seen.sure > 0).any():
        raise UserError(
            f"no person: expected somebody in the images of {len(calibration.names)} cameras, found nobody in "
            f"{len(sightings)} frames; are people large enough, upright, and lit?"
        )
    fault = partial(_fault, sightings, calibration)
    tracks = tracks_of(seen, calibration)
    tracks.sort(key=lambda known: -_votes(known, seen))
    looking = (seen.sure > 0).any((2, 3)).sum(1) >= 2
    if not tracks or len(tracks[0].groups) < AGREES * looking.sum():
        raise nobody_agrees(seen, calibration, fault)
    people = [Person(_members(known, seen), _votes(known, seen)) for known in tracks]
    frames, votes = (share * of for share, of in zip(_LEAST, (people[0].frames.sum(), people[0].votes), strict=True))
    people = [one for one in people if one.frames.sum() >= frames and one.votes >= votes]
    # Two cameras that are wrong alike may agree with each other, and on nobody whom a third one sees
    known = (people[0].sighting >= 0).any(0)
    fits = np.any([one.sighting >= 0 for one in people if (one.sighting[:, known] >= 0).any()], axis=0)
    refuse_strangers(seen, calibration, fits, tracks[0], fault)
    return people


def _fault(sightings: Sequence[Sequence[Sequence[Sighting]]], calibration: Calibration) -> str | None:
    """The likely fault of the calibration, by whoever is found first in each image."""
    frames = [frame for frame in sightings if sum(map(bool, frame)) >= 2]
    frames = frames[:: -(-len(frames) // _LOOKS) or 1]
    points = len(next(people[0].points for frame in frames for people in frame if people)) if frames else 0
    points2d = np.full((len(frames), len(calibration.names), points, 3), np.nan)
    for row, frame in enumerate(frames):
        for view, people in enumerate(frame):
            if people:
                points2d[row, view] = people[0].points
    sizes = [
        size or (round(2 * K[0, 2]), round(2 * K[1, 2]))
        for size, K in zip(calibration.sizes, calibration.K, strict=True)
    ]
    return calibration_faults(points2d, calibration, sizes) if frames else None


def _votes(known: Track, seen: SightedJoints) -> float:
    """What all views say of a person; who looks half as large as the largest in the image counts three quarters."""
    total = 0.0
    for frame, one in known.groups.items():
        largest = np.maximum(seen.size[frame].max(1), 1e-9)
        size = np.take_along_axis(seen.size[frame], np.maximum(one.members, 0)[:, None], 1)[:, 0]
        total += float((one.votes * (0.5 + 0.5 * size / largest)).sum())
    return total


def _members(known: Track, seen: SightedJoints) -> np.ndarray:
    found = np.full(seen.size.shape[:2], -1)
    for frame, one in known.groups.items():
        found[frame] = one.members
    return found
