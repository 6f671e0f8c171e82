"""Which subjects are tested on and which frames are used: by the user's own files, or as a publication has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProtocolName = Literal["own", "paper"]


@dataclass(frozen=True)
class Protocol:
    """What of a data set is used, and for what."""

    test_subjects: tuple[str, ...] = ()  # none: what splits.json says, or the order of the names
    frames: int | None = None  # a subject's frames that are used, evenly spread over its sequence; None: all
    even_clips: bool = False  # a clip joins frames evenly spread over the sequence, always the same; else random ones


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "own": Protocol(),
    # The supplement's ten scans of MVHumanNet, 60 frames per subject, clips of "uniformly sampled" frames.
    "paper": Protocol(
        test_subjects=(
            *("200102", "200114", "200125", "200134", "200137"),
            *("200151", "200535", "202148", "202209", "204157"),
        ),
        frames=60,
        even_clips=True,
    ),
}
