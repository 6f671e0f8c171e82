"""Who is who from moment to moment: people of each moment joined by where they stand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.grouping import Group, SightedJoints, group

_STEP = 1.0  # metres that a person moves between frames at most
_LONGEST_STEP = 3.0  # and after frames in which nobody saw the person


@dataclass(eq=False)
class Track:
    """One person along a clip."""

    groups: dict[int, Group] = field(default_factory=dict)  # by frame

    def expected(self, frame: int) -> np.ndarray:
        """Where the person should be, from the last two places. [3] metres"""
        *before, last = list(self.groups)[-2:]
        place = _middle(self.groups[last])
        if before and last - before[0] == 1 and frame - last == 1:
            return place + (place - _middle(self.groups[before[0]])) / 2  # half of it: people stop, and landmarks err
        return place


def tracks_of(seen: SightedJoints, calibration: Calibration) -> list[Track]:
    """Everybody whom two cameras see at some moment."""
    return track([group(seen, frame, calibration) for frame in range(len(seen.plane))])


def track(groups: list[list[Group]]) -> list[Track]:
    """Join the people of F frames, each time those that lie nearest to where they should be."""
    tracks: list[Track] = []
    for frame, people in enumerate(groups):
        free = list(range(len(people)))
        if tracks and people:
            places = np.stack([_middle(one) for one in people])
            expected = np.stack([known.expected(frame) for known in tracks])
            gaps = np.array([frame - max(known.groups) for known in tracks])
            limit = np.minimum(_STEP * gaps, _LONGEST_STEP)
            share = np.linalg.norm(expected[:, None] - places, axis=-1) / limit[:, None]
            for known, person in zip(*linear_sum_assignment(np.minimum(share, 1)), strict=True):
                if share[known, person] < 1:
                    tracks[known].groups[frame] = people[person]
                    free.remove(person)
        tracks += [Track({frame: people[person]}) for person in free]
    return tracks


def _middle(one: Group) -> np.ndarray:
    return np.nanmedian(one.joints, 0)
