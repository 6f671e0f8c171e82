"""Videos, decoded by FFmpeg's libraries: the frames of the first video stream by their place, upright, in RGB."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hgg_pyg.types import UserError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_UNSPECIFIED = 2  # of matrices, in the H.264 standard, table E-5
_BT709 = 1
_HD = 720  # lines from which on what has no matrix stated is in BT.709, as players take it


def require_av(extra: str) -> None:
    """See that videos can be decoded.

    Args:
        extra: of this package that brings what does, for the message.

    Raises:
        UserError: PyAV is not installed.
    """
    if importlib.util.find_spec("av") is None:
        raise UserError(f'videos need PyAV, which is not installed: pip install "hgg_pyg[{extra}]"')


def frames_at(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Decode some of a video's frames, in their order; those that are broken do not come.

    Args:
        path: the file.
        wanted: numbers of frames in the order in which they are shown, from 0, increasing.

    Yields:
        A frame's number and its image [H, W, 3] uint8.

    Raises:
        UserError: the file is no video.
    """
    if not len(wanted):
        return
    with opened_video(path) as (container, stream):
        stamps = packet_stamps(container, stream)
    counted = None in stamps
    places = {stamp: place for place, stamp in enumerate(sorted({stamp for stamp in stamps if stamp is not None}))}
    chosen = {*map(int, wanted)}
    # Seeking by time leads to the frame from which on all others can be decoded
    start = 0 if counted or min(chosen) >= len(places) else sorted(places)[min(chosen)]
    for count, frame in decoded(path, start):
        place = count if counted or frame.pts is None else places.get(frame.pts)
        if place in chosen and not frame.is_corrupt:
            chosen.discard(place)
            yield place, upright(frame)
        if not chosen or (place is not None and place > max(wanted)):
            return


def decoded(path: Path, start: int) -> Iterator[tuple[int, VideoFrame]]:
    """All frames that can be decoded from a time stamp on, each with how many came before it.

    Raises:
        UserError: the file is no video.
    """
    from av.error import FFmpegError

    with opened_video(path) as (container, stream):
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
def opened_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first stream of pictures.

    Raises:
        UserError: it cannot be opened, or has no pictures.
    """
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


def packet_stamps(container: InputContainer, stream: VideoStream) -> list[int | None]:
    """Time stamps of the frames that are shown, in the order in which they are stored; None where the file has none."""
    return [packet.pts for packet in _packets(container, stream) if packet.size and not packet.is_discard]


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
