"""Which points of a person a landmark network finds, in one vocabulary of names for all networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names for side in ("left", "right"))


_BONES = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip"),
    ("ankle", "heel"), ("heel", "big_toe"), ("ankle", "big_toe"), ("wrist", "index"),
)  # fmt: skip


@dataclass(frozen=True)
class LandmarkSet:
    """J points with names, in the order in which a network or a file has them.

    Names are of one vocabulary: nose, neck, mid_hip; and with left_ or right_ before it eye, ear, mouth, shoulder,
    elbow, wrist, pinky, index, thumb, hip, knee, ankle, heel, big_toe, small_toe. Left is the person's left. Points of
    other names are kept and have no part in fitting a body.
    """

    name: str
    points: tuple[str, ...]

    def __len__(self) -> int:
        """J."""
        return len(self.points)

    def index(self, point: str) -> int:
        """Where a point stands.

        Raises:
            ValueError: the set does not have it.
        """
        return self.points.index(point)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Each point's partner on the other side; its own number where it has none. J"""
        other = {"left_": "right_", "right_": "left_"}
        swapped = (
            next((other[side] + name.removeprefix(side) for side in other if name.startswith(side)), name)
            for name in self.points
        )
        return tuple(self.points.index(name) if name in self.points else own for own, name in enumerate(swapped))

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs of points with a limb between them, to be drawn or to have one length in all frames."""
        sides = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in _BONES]
        across = [("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("nose", "neck")]
        return tuple(
            (self.index(a), self.index(b)) for a, b in (*across, *sides) if a in self.points and b in self.points
        )


COCO_17 = LandmarkSet("coco17", ("nose", *_both("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")))
"""COCO's 17 keypoints: ViTPose, RTMPose, YOLO-pose, Detectron2."""

OPENPOSE_25 = LandmarkSet(
    "openpose25",
    (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
        "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
        "right_small_toe", "right_heel",
    ),
)  # fmt: skip
"""OpenPose's BODY_25: OpenPose, EasyMocap."""

MEDIAPIPE_33 = LandmarkSet(
    "mediapipe33",
    (
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
        *_both("ear", "mouth", "shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee", "ankle", "heel",
               "big_toe"),
    ),
)  # fmt: skip
"""BlazePose's 33 landmarks: MediaPipe."""

HALPE_26 = LandmarkSet(
    "halpe26",
    (*COCO_17.points, "head", "neck", "mid_hip", *_both("big_toe", "small_toe", "heel")),
)
"""Halpe's 26 body points: RTMPose's body with feet, AlphaPose, Pose2Sim."""

LANDMARK_SETS = {known.name: known for known in (COCO_17, OPENPOSE_25, HALPE_26, MEDIAPIPE_33)}
