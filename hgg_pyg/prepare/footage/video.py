"""One camera's video, decoded by FFmpeg's libraries: frames by their time stamps, upright, in RGB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hgg_pyg.io.video import decoded, frames_at, opened_video, packet_stamps, require_av, upright
from hgg_pyg.prepare.footage.clock import Timeline
from hgg_pyg.types import UserError

_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics, table E-4 of the H.264 standard


@dataclass(frozen=True)
class VideoSource:
    """A video file. Its first video stream is taken."""

    camera: str
    path: Path

    def __post_init__(self) -> None:
        require_av("prepare")

    def timeline(self) -> Timeline:
        """When its frames were taken: the stamps of its packets, without decoding more than the first frame.

        Raises:
            UserError: the file is no video, or nothing of it can be decoded.
        """
        first = next(decoded(self.path, 0), None)
        if first is None:
            raise UserError(f"{self.path}: expected a video, found no frame that can be decoded")
        with opened_video(self.path) as (container, stream):
            stamps = packet_stamps(container, stream)
            stated = stream.frames
            rate = float(stream.average_rate or stream.guessed_rate or 0) or None
            times = np.arange(len(stamps)) / (rate or 30.0)
            if None not in stamps:
                times = np.unique(np.array(stamps, np.float64)) * float(stream.time_base or 1)
            hdr = _HDR.get(int(first[1].color_trc or 0))
        notes = []
        if len(stamps) < stated:
            notes.append(f"{self.path} ends early: after {len(stamps)} of the {stated} frames that its header states")
        if hdr:
            notes.append(f"{self.path}: {hdr} video, whose colours are taken as they are and will look dull")
        height, width = upright(first[1]).shape[:2]
        return Timeline.of(self.camera, times - times[0], rate, size=(width, height), notes=tuple(notes))

    def images(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Decode some of the frames; those that are broken do not come. See `Source.images`."""
        return frames_at(self.path, wanted)

    def stamp(self) -> str:
        """Its size and time of change."""
        status = self.path.stat()
        return f"{self.path.name} {status.st_size} {status.st_mtime_ns}"
