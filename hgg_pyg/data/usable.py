"""Captures without the frames that have no Gaussians: what is trained on, scored and looked into."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from hgg_pyg.data.frames import FrameSource
from hgg_pyg.types import UserError

log = logging.getLogger("hgg_pyg")


def usable_sources(sources: Iterable[FrameSource], quiet: bool = False) -> Iterator[FrameSource]:
    """Sources without the frames that have no Gaussians, and without those of which no frame is left; see `usable`.

    The log says how many frames were left out of which capture, which and why, unless `quiet`. They are looked at one
    after the other, as far as they are asked for.
    """
    for source in sources:
        used = source.usable()
        if not quiet:
            for item in used.left_out:
                log.info("%s: %s", source.capture.name, item)
            if not used.capture.frames:
                log.info("%s: left out: no frame of it can be used", source.capture.name)
        if used.capture.frames:
            yield used


def some_usable(
    sources: Sequence[FrameSource], quiet: bool = False, count: int | None = None
) -> tuple[FrameSource, ...]:
    """What `usable_sources` gives: all, or the first few.

    Raises:
        UserError: no frame of any source can be used.
    """
    used = tuple(islice(usable_sources(sources, quiet), count))
    if sources and not used:
        first = sources[0].usable()
        reasons = "; ".join(map(str, first.left_out))
        raise UserError(f"{first.capture.root}: expected a frame that can be used, found none: {reasons}")
    return used
