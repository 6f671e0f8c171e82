"""MP4 with H.264 video, which everything plays."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from hgg_pyg.avatar.film.format import FilmFormat

_BT709 = 1  # of matrix, primaries and transfer in the H.264 standard, tables E-3 to E-5
_QUALITY = "16"  # constant rate factor: 0 is lossless, 23 the encoder's default, at which faces smear


def write_mp4(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """Write pictures [H, W, 3] uint8 as H.264 in YUV 4:2:0, BT.709; sides of odd length repeat their last pixels."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    pictures = iter(pictures)
    first = next(pictures)
    height, width = first.shape[:2]
    margin = ((0, height % 2), (0, width % 2), (0, 0))
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", Fraction(fps).limit_denominator(1001), {"crf": _QUALITY})
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        coder = stream.codec_context
        coder.colorspace = coder.color_primaries = coder.color_trc = _BT709
        coder.color_range = ColorRange.MPEG
        for picture in chain([first], pictures):
            frame = av.VideoFrame.from_ndarray(np.pad(picture, margin, "edge"), "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


FORMAT = FilmFormat(
    name="mp4",
    summary="H.264 video, which everything plays",
    suffix=".mp4",
    write=write_mp4,
    largest=8192,  # of H.264's levels
    requires={"av": "av"},
)
