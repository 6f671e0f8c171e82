"""Which landmark networks there are, and yours by "module:NAME"."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hgg_pyg.avatar.brought import brought
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.landmarks.base import Landmarker
from hgg_pyg.prepare.landmarks.mediapipe import MediaPipe
from hgg_pyg.prepare.landmarks.own import OwnLandmarker
from hgg_pyg.types import UserError
from hgg_pyg.weights import heavy_landmark_model, landmark_models

log = logging.getLogger("hgg_pyg")


def _full() -> Landmarker:
    folder = landmark_models()
    return MediaPipe.of_files(folder / "pose_detection.tflite", folder / "pose_landmark_full.tflite")


def _heavy() -> Landmarker:
    heavy = heavy_landmark_model()
    return MediaPipe.of_files(landmark_models() / "pose_detection.tflite", heavy)


def _best() -> Landmarker:
    try:
        return _heavy()
    except UserError as error:
        landmarker = _full()  # whose own error counts, if it cannot be had either
        log.warning("landmarks by the smaller network, mediapipe-full, for want of the larger: %s", error)
        return landmarker


LANDMARKERS: dict[str, Callable[[], Landmarker]] = {
    "mediapipe": _best,
    "mediapipe-full": _full,
    "mediapipe-heavy": _heavy,
}
"""Landmark networks by name: MediaPipe's largest that can be had, and its two by their own names."""
DEFAULT_LANDMARKER = "mediapipe"


def find_landmarker(name: str = DEFAULT_LANDMARKER) -> Landmarker:
    """A landmark network, ready to use.

    Args:
        name: one of `LANDMARKERS`, or "module:NAME" of yours: an object with the protocol `Landmarker`, or a class or
            function that gives one without arguments.

    Raises:
        UserError: there is none of this name, it cannot be imported, is no landmark network, or cannot be made ready:
            its files cannot be fetched, or a package is missing.
    """
    if name in LANDMARKERS:
        return LANDMARKERS[name]()
    if ":" not in name:
        expected = f"one of {', '.join(LANDMARKERS)}, or module:NAME of a network of yours"
        raise UserError(f"--landmarker: expected {expected}; found {shown(repr(name))}")
    return OwnLandmarker(name, brought("--landmarker", name, object, "a landmark network"))
