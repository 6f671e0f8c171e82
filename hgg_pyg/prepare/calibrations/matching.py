"""Which video is of which calibrated camera, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_Same = Callable[[str, str], bool]
_WORD = re.compile(r"\d+|[^\W\d_]+")
_LONG_ENOUGH = 3  # letters of a name that is found within a word


@dataclass(frozen=True)
class Matched:
    """Videos with cameras, and what has no partner and is left out."""

    cameras: Mapping[str, int]
    """by video, the position of its camera in the calibration"""
    without_calibration: tuple[str, ...]
    without_video: tuple[str, ...]


def match_cameras(videos: Sequence[str], calibration: Calibration) -> Matched:
    """Find the camera of each video, folder of images, or other name.

    A camera's name is looked for as it is, then without regard to case, punctuation and leading zeros (cam01, CAM_1),
    then within the video's name or the other way round (Demo_cam01.mp4), where it must be the only one.

    Args:
        videos: names of files or folders, with or without their ending.
        calibration: V cameras.

    Raises:
        UserError: a name twice, two videos that seem to be of one camera or the other way round, or no match at all.
    """
    if len(set(videos)) != len(videos):
        twice = next(name for name in videos if list(videos).count(name) > 1)
        raise UserError(f"videos: expected every name once, found '{shown(twice)}' twice")
    cameras = {name: number for number, name in enumerate(calibration.names)}
    found: dict[str, str] = {}
    for same in (_exactly, _nearly, _within):
        videos_left = [video for video in videos if video not in found]
        cameras_left = [camera for camera in cameras if camera not in found.values()]
        found |= _unique(videos_left, cameras_left, _pairs(videos_left, cameras_left, same))
    if not found:
        raise UserError(
            f"{_sides(videos, list(cameras))}: expected videos to be called as their cameras, or to hold their names; "
            "found no match"
        )
    return Matched(
        cameras={video: cameras[found[video]] for video in videos if video in found},
        without_calibration=tuple(video for video in videos if video not in found),
        without_video=tuple(camera for camera in cameras if camera not in found.values()),
    )


def _exactly(video: str, camera: str) -> bool:
    return camera in (video, stem(video))


def _nearly(video: str, camera: str) -> bool:
    return _words(video) == _words(camera)


def _within(video: str, camera: str) -> bool:
    shorter, longer = sorted((_words(video), _words(camera)), key=lambda words: sum(map(len, words)))
    return _holds(longer, shorter)


def _holds(longer: Sequence[str], shorter: Sequence[str]) -> bool:
    """Whether words stand in a row within others; at the ends, as the end or the beginning of a word: Democam01."""
    count = len(shorter)
    for start in range(len(longer) - count + 1) if count else ():
        part = list(longer[start : start + count])
        for at, cut in ((0, str.endswith), (count - 1, str.startswith)):
            if len(shorter[at]) >= _LONG_ENOUGH and shorter[at].isalpha() and cut(part[at], shorter[at]):
                part[at] = shorter[at]
        if part == list(shorter):
            return True
    return False


def stem(name: str) -> str:
    """A name without its ending, which has a letter: .mp4, .avi, not the .01 of cam.01."""
    path = PurePath(name)
    return path.stem if re.search(r"[A-Za-z]", path.suffix) else path.name


def _words(name: str) -> list[str]:
    """Words and numbers of a name, in lower case and without leading zeros, so that cam1 is not in cam12."""
    return [word.lstrip("0") or "0" if word.isdigit() else word for word in _WORD.findall(stem(name).casefold())]


def _pairs(videos: Sequence[str], cameras: Sequence[str], same: _Same) -> dict[str, list[str]]:
    """By video, the cameras that it may be of; of names that lie within one another, the longest."""
    found = {}
    for video in videos:
        hits = [camera for camera in cameras if same(video, camera)]
        words = [_words(camera) for camera in hits]
        inner = [any(len(other) > len(own) and _holds(other, own) for other in words) for own in words]
        if hits:
            found[video] = [camera for camera, within in zip(hits, inner, strict=True) if not within]
    return found


def _unique(videos: Sequence[str], cameras: Sequence[str], pairs: dict[str, list[str]]) -> dict[str, str]:
    taken: dict[str, str] = {}
    for video, hits in pairs.items():
        if len(hits) > 1:
            raise UserError(
                f"{_sides(videos, cameras)}: expected one camera a video, found that '{video}' may be of "
                f"{' or '.join(hits[:4])}: rename one of them"
            )
        (camera,) = hits
        if camera in taken:
            raise UserError(
                f"{_sides(videos, cameras)}: expected one video a camera, found that '{taken[camera]}' and '{video}' "
                f"may both be of '{camera}': rename or leave out one of them"
            )
        taken[camera] = video
    return {video: camera for camera, video in taken.items()}


def _sides(videos: Sequence[str], cameras: Sequence[str]) -> str:
    return f"videos {shown(', '.join(videos), 150)}; cameras {shown(', '.join(cameras), 150)}"
