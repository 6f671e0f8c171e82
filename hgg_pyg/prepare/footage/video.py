"""One camera's video, decoded by FFmpeg's libraries: frames by their time stamps, upright, in RGB."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hgg_pyg.prepare.footage.clock import Timeline
from hgg_pyg.types import UserError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_UNSPECIFIED = 2  # of matrices, in the H.264 standard, table E-5
_BT709 = 1
_HD = 720  # lines from which on what has no matrix stated is in BT.709, as players take it
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics, table E-4


@dataclass(frozen=True)
class VideoSource:
    """A video file. Its first video stream is taken."""

    camera: str
    path: Path

    def __post_init__(self) -> None:
        if importlib.util.find_spec("av") is None:
            raise UserError('videos need PyAV, which is not installed: pip install "hgg_pyg[prepare]"')

    def timeline(self) -> Timeline:
        """When its frames were taken: the stamps of its packets, without decoding more than the first frame.

        Raises:
            UserError: the file is no video, or nothing of it can be decoded.
        """
        first = next(self._decoded(0), None)
        if first is None:
            raise UserError(f"{self.path}: expected a video, found no frame that can be decoded")
        with _opened(self.path) as (container, stream):
            stamps = _stamps(container, stream)
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
        if not len(wanted):
            return
        with _opened(self.path) as (container, stream):
            stamps = _stamps(container, stream)
        counted = None in stamps
        places = {stamp: place for place, stamp in enumerate(sorted({stamp for stamp in stamps if stamp is not None}))}
        chosen = {*map(int, wanted)}
        # Seeking by time leads to the frame from which on all others can be decoded
        start = 0 if counted else sorted(places)[min(chosen)]
        for count, frame in self._decoded(start):
            place = count if counted or frame.pts is None else places.get(frame.pts)
            if place in chosen and not frame.is_corrupt:
                chosen.discard(place)
                yield place, upright(frame)
            if not chosen or (place is not None and place > max(wanted)):
                return

    def stamp(self) -> str:
        """Its size and time of change."""
        status = self.path.stat()
        return f"{self.path.name} {status.st_size} {status.st_mtime_ns}"

    def _decoded(self, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """All frames that can be decoded from a stamp on, each with how many came before it."""
        from av.error import FFmpegError

        with _opened(self.path) as (container, stream):
            stream.thread_type = "AUTO"
            if start > 0:
                container.seek(start, stream=stream)
            count = 0
            for packet in _packets(container, stream):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    continue
                for frame in frames:
                    yield count, frame
                    count += 1


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path}: expected a video, found a file without a picture")
            yield container, container.streams.video[0]
    except FFmpegError as error:
        said = str(error.strerror or error)
        raise UserError(f"{path}: expected a video, found what cannot be opened ({said}): is it whole?") from None


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Any]:
    """Of a stream, up to where a file that is cut off cannot be read any more."""
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _stamps(container: InputContainer, stream: VideoStream) -> list[int | None]:
    """Of the frames that are shown, in the order in which they are stored; None where the file has none."""
    return [packet.pts for packet in _packets(container, stream) if packet.size and not packet.is_discard]


def upright(frame: VideoFrame) -> np.ndarray:
    """A frame as players show it: turned as its display matrix says, by a multiple of 90 degrees. [H, W, 3] uint8"""
    matrix = frame.colorspace
    if matrix == _UNSPECIFIED and frame.height >= _HD:
        matrix = _BT709
    image = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
    parts: Any = frame.side_data  # its stubs take it for a mapping of names
    data = next((bytes(part) for part in parts if part.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return image
    # The matrix brings (x, y, 1), y down, to the display as a row from the left; its numbers are in 1/65536
    (a, b), (c, d) = np.frombuffer(data, np.int32, 9).reshape(3, 3)[:2, :2].astype(float).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, across, down = image.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    image = image[:, ::-1] if across < 0 else image
    image = image[::-1] if down < 0 else image
    return np.ascontiguousarray(image)
