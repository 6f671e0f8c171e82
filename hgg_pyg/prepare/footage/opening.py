"""From the paths that a user names to cameras: which footage is of which calibrated camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import LeftOut
from hgg_pyg.prepare.calibrations import match_cameras
from hgg_pyg.prepare.footage.image_folder import ImageFolder
from hgg_pyg.prepare.footage.source import Source, find_image_folders, find_videos
from hgg_pyg.prepare.footage.video import VideoSource
from hgg_pyg.types import UserError

DEFAULT_RATE = 30.0
"""Images a second where nobody says"""


@dataclass(frozen=True, eq=False)
class Opened:
    """Footage of V calibrated cameras."""

    sources: tuple[Source, ...]  # V, called as their cameras
    calibration: Calibration
    left_out: tuple[LeftOut, ...]  # cameras without footage or without calibration
    names: Mapping[str, str]  # of cameras by the names of their files


def open_footage(videos: tuple[Path, ...], images: Path | None, rate: float | None, calibration: Calibration) -> Opened:
    """Find what each camera filmed.

    Args:
        videos: files, or a folder of them; empty for images.
        images: a folder of folders of images.
        rate: images a second; None: 30.
        calibration: cameras, more than those that filmed perhaps.

    Raises:
        UserError: as `find_videos`, `find_image_folders` and `match_cameras`, or fewer than two cameras are left.
    """
    paths = find_videos(videos) if images is None else find_image_folders(images)
    matched = match_cameras(list(paths), calibration)
    order = sorted(matched.cameras, key=lambda name: matched.cameras[name])
    kept = calibration.select([matched.cameras[name] for name in order])
    sources: list[Source] = []
    for name, camera in zip(order, kept.names, strict=True):
        if images is None:
            sources.append(VideoSource(camera, paths[name]))
        else:
            sources.append(ImageFolder(camera, paths[name], rate or DEFAULT_RATE))
    lost = [("no calibration", matched.without_calibration), ("no footage", matched.without_video)]
    left_out = tuple(LeftOut("camera", names, why) for why, names in lost if names)
    if len(sources) < 2:
        option = "--videos" if images is None else "--images"
        said = "".join(f"; {item}" for item in left_out)
        raise UserError(f"{option}: expected at least two calibrated cameras, found {len(sources)}{said}")
    return Opened(tuple(sources), kept, left_out, dict(zip(order, kept.names, strict=True)))
