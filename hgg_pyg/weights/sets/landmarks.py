"""The two networks of MediaPipe's pose solution: find a person in an image, then 33 landmarks and a mask."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from hgg_pyg.types import UserError
from hgg_pyg.weights.fetch import fetch, missing_files
from hgg_pyg.weights.fetchable import Fetchable, Source, same_bytes

log = logging.getLogger("hgg_pyg")

CHECKSUMS = {
    "pose_detection.tflite": "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "pose_landmark_full.tflite": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
}


def landmarks_folder() -> Path:
    """Where the networks are looked for: $HGG_WEIGHTS or ~/.cache/hgg_pyg/weights."""
    return Path(os.environ.get("HGG_WEIGHTS") or Path.home() / ".cache" / "hgg_pyg" / "weights")


FETCHABLE = Fetchable(
    name="landmarks",
    summary="MediaPipe's networks that find a person, 33 landmarks and a mask",
    source=Source(  # the last version whose wheels hold the networks, the same ones for every platform
        distribution="mediapipe",
        version="0.10.21",
        file="mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        size=35_622_638,
        tags=("3.11", "cp", "cp311", "manylinux_2_28_x86_64"),
    ),
    licence="Apache-2.0, the MediaPipe authors",
    members={
        "pose_detection.tflite": "mediapipe/modules/pose_detection/pose_detection.tflite",
        "pose_landmark_full.tflite": "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    },
    folder=landmarks_folder,
    wrong=same_bytes(CHECKSUMS),
)


def landmark_models() -> Path:
    """The folder with the networks: $HGG_WEIGHTS or ~/.cache/hgg_pyg/weights. At first use they are fetched.

    Raises:
        UserError: they are not there and cannot be fetched, or one of them is damaged.
    """
    return at_first_use(FETCHABLE)


def at_first_use(fetchable: Fetchable) -> Path:
    """The folder with what was fetched, or is now.

    Raises:
        UserError: it is not there and cannot be fetched, or is damaged; with the command that fetches it.
    """
    folder = fetchable.folder()
    try:
        if not missing_files(fetchable, folder):
            return folder
        size, place = fetchable.source.size / 1e6, fetchable.source.place
        log.info("fetching %s: %.0f MB from %s, once, into %s", fetchable.summary, size, place, folder)
        return fetch(fetchable, folder)
    except UserError as error:
        raise UserError(f"python -m hgg_pyg.weights {fetchable.name}: {error}") from None
