"""Whom to take: the person whom most cameras see most of the time, among bystanders and false sightings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.grouping import Group, Sightings, group, pack, votes_for
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.prepare.tracking import Track, track
from hgg_pyg.types import UserError

_LEAST = 0.25, 0.1  # shares of the first person's frames and votes that another must have: not by chance nor in passing
_AGREES = 0.4  # of the frames in which two cameras see somebody they must agree: strangers do so by chance in a tenth
_FITS = 0.1  # of the frames in which a camera sees somebody it must fit the others in
_LOOKS = 40  # frames at most that are looked at to say why cameras do not fit
_UNITS = ((0.001, "millimetres"), (0.01, "centimetres"), (0.0254, "inches"), (1000.0, "kilometres"))


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
    tracks = track(_groups(seen, calibration))
    tracks.sort(key=lambda known: -_votes(known, seen))
    looking = (seen.sure > 0).any((2, 3)).sum(1) >= 2
    if not tracks or len(tracks[0].groups) < _AGREES * looking.sum():
        raise _nobody_agrees(seen, calibration)
    people = [Person(_members(known, seen), _votes(known, seen)) for known in tracks]
    frames, votes = (share * of for share, of in zip(_LEAST, (people[0].frames.sum(), people[0].votes), strict=True))
    people = [one for one in people if one.frames.sum() >= frames and one.votes >= votes]
    _refuse_strangers(seen, calibration, people, tracks[0])
    return people


def _groups(seen: Sightings, calibration: Calibration) -> list[list[Group]]:
    """The people of each frame."""
    return [group(seen, frame, calibration) for frame in range(len(seen.plane))]


def _votes(known: Track, seen: Sightings) -> float:
    """What all views say of a person; who looks half as large as the largest in the image counts three quarters."""
    total = 0.0
    for frame, one in known.groups.items():
        largest = np.maximum(seen.size[frame].max(1), 1e-9)
        size = np.take_along_axis(seen.size[frame], np.maximum(one.members, 0)[:, None], 1)[:, 0]
        total += float((one.votes * (0.5 + 0.5 * size / largest)).sum())
    return total


def _members(known: Track, seen: Sightings) -> np.ndarray:
    found = np.full(seen.size.shape[:2], -1)
    for frame, one in known.groups.items():
        found[frame] = one.members
    return found


def _refuse_strangers(seen: Sightings, calibration: Calibration, people: list[Person], first: Track) -> None:
    """Cameras that see people, but hardly ever one whom another camera sees.

    Raises:
        UserError: there are some; whether the images are mirrored.
    """
    frames = sorted(first.groups)
    plain, turned = (_fit(seen, calibration, first, flip) for flip in (False, True))
    for view, name in enumerate(calibration.names):
        others = [sum(np.delete(first.groups[frame].members, view) >= 0) >= 2 for frame in frames]
        # A mirrored person in the middle of an image may fit now and then, but never as well as in the mirror
        before, after = plain[others, view].sum(), turned[others, view].sum()
        if after > 1.5 * before and after > 0.25 * sum(others):
            raise mirrored(name)
    looks = np.asarray((seen.sure > 0).any((2, 3)))  # F V
    fits = np.any([one.sighting >= 0 for one in people], axis=0)
    strange = (fits & looks).sum(0) < _FITS * looks.sum(0)
    if strange.any():
        names = np.array(calibration.names)
        raise UserError(
            f"camera {', '.join(names[strange])}: expected a person where {', '.join(names[~strange])} see one, found "
            "only people elsewhere; is the calibration of these videos, and do they start together (--offset)? "
            "Else leave the camera out"
        )


def _fit(seen: Sightings, calibration: Calibration, known: Track, flip: bool) -> np.ndarray:
    """The best vote of each camera for a known person, in the frames of the person. [A, V]"""
    seen = flipped(seen, calibration, range(len(calibration.names))) if flip else seen
    votes = [
        votes_for(known.groups[frame].joints[None], seen.plane[frame], seen.sure[frame], seen.mirror, calibration)[0]
        for frame in sorted(known.groups)
    ]
    return np.stack(votes).max(-1)


def flipped(seen: Sightings, calibration: Calibration, views: Iterable[int]) -> Sightings:
    """Sightings as they would be if the images of some cameras were turned left to right.

    Left and right become each other's: a network calls the right hand of a mirrored person left.
    """
    plane, sure = seen.plane.copy(), seen.sure.copy()
    for view in views:
        size = calibration.sizes[view]
        focal, centre = calibration.K[view, 0, 0], calibration.K[view, 0, 2]
        shift = 0.0 if size is None else (size[0] - 2 * centre) / focal
        plane[:, view] = plane[:, view][:, :, seen.mirror]
        plane[:, view, ..., 0] = shift - plane[:, view, ..., 0]
        sure[:, view] = sure[:, view][:, :, seen.mirror]
    return replace(seen, plane=plane, sure=sure)


def mirrored(name: str) -> UserError:
    """What to say of a camera whose images are turned left to right."""
    return UserError(
        f"camera {name}: its images are mirrored, as of a selfie camera: people fit the other cameras only when turned "
        "left to right; turn the video back (ffmpeg -vf hflip), or record it anew"
    )


def _nobody_agrees(seen: Sightings, calibration: Calibration) -> UserError:
    """Why no two cameras agree: mirrored images, units that are not metres, else that they see different people."""
    looking = np.flatnonzero((seen.sure > 0).any((0, 2, 3))).tolist()
    names = [calibration.names[view] for view in looking]
    if len(looking) == 1:
        return UserError(f"camera {names[0]}: expected somebody in at least two cameras, found people only in this one")
    frames = np.flatnonzero((seen.sure > 0).any((2, 3)).sum(1) >= 2)
    if not len(frames):
        return UserError(
            f"cameras {', '.join(names)}: expected people at the same moments, found never two that see somebody in "
            "one frame; do the videos start together (--offset)?"
        )
    frames = frames[:: -(-len(frames) // _LOOKS)]
    seen = replace(seen, plane=seen.plane[frames], sure=seen.sure[frames], size=seen.size[frames])
    most = _AGREES * len(frames)
    for scale, unit in _UNITS:
        if _moments(seen, replace(calibration, T=calibration.T * scale)) >= most:
            return UserError(f"calibration: expected T in metres, found {unit}: only so do the cameras agree on people")
    both = [looking] if len(looking) == 2 else []
    for views in [*([view] for view in looking), *both]:
        if _moments(flipped(seen, calibration, views), calibration) >= most:
            if len(looking) > 2:
                return mirrored(calibration.names[views[0]])
            return mirrored(" or ".join(names))
    return UserError(
        f"cameras that do not see each other: expected a person whom two of {', '.join(names)} see, found none on whom "
        "any two agree; is the calibration of these videos, and do they start together (--offset)?"
    )


def _moments(seen: Sightings, calibration: Calibration) -> int:
    """How many frames the person has whom two cameras agree on most often."""
    return max((len(known.groups) for known in track(_groups(seen, calibration))), default=0)
