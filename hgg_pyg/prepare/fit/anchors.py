"""Where on the body each landmark is: at a joint or on the skin, moved by an offset that the fit finds.

What networks call a hip or a shoulder is a place that people can see; joints of bodies lie centimetres from it. The
offset is the same in all frames, and the same on both sides but for the sign of x, the axis across the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hgg_pyg.body import BodyModel
from hgg_pyg.prepare.landmark_sets import LandmarkSet

# How far the landmark may be from the place: standard deviation in metres.
_AT_JOINTS = {
    "shoulder": 0.03,
    "elbow": 0.02,
    "wrist": 0.02,
    "hip": 0.04,
    "knee": 0.02,
    "ankle": 0.02,
    "neck": 0.03,
    "mid_hip": 0.04,
}
_ON_SKIN = {"nose": 0.015, "eye": 0.015, "ear": 0.015, "heel": 0.02, "big_toe": 0.02, "small_toe": 0.02}
_OF_HANDS = {"index": 0.03, "pinky": 0.03, "thumb": 0.03}
_OTHER_NAMES = {"mid_hip": "pelvis"}
_SIDES = ("left_", "right_")


@dataclass(frozen=True)
class Anchors:
    """A landmarks that have a place on a body of N vertices and J joints."""

    names: tuple[str, ...]  # A
    columns: Tensor  # [A] int64, where each stands in its set
    regressor: Tensor  # [A, N] place at rest, from the vertices
    weights: Tensor  # [A, J] rows sum to 1
    sigma: Tensor  # [A] of the offset, metres
    shared: Tensor  # [A] int64, which offset is its own: both sides share one
    side: Tensor  # [A, 3] by which the offset is multiplied: -1 for x on the right

    @property
    def num_offsets(self) -> int:
        """Offsets that the fit finds."""
        return int(self.shared.max()) + 1


def make_anchors(body: BodyModel, landmarks: LandmarkSet) -> Anchors:
    """The places of all landmarks of a set that have one on this body; the others have no part in the fit."""
    joints, skin = body.joint_names, body.landmark_vertices
    rows = []
    for column, name in enumerate(landmarks.points):
        side = next((side for side in _SIDES if name.startswith(side)), "")
        plain = name.removeprefix(side)
        if plain in _ON_SKIN and name in skin:
            place = torch.zeros(body.num_vertices)
            place[skin[name]] = 1
            rows.append((name, column, place, body.weights[skin[name]], _ON_SKIN[plain]))
            continue
        joint, sigma = _OTHER_NAMES.get(plain, name), _AT_JOINTS.get(plain)
        if plain in _OF_HANDS:
            joint = next((known for known in (f"{name}1", f"{side}hand") if known in joints), "")
            sigma = _OF_HANDS[plain]
        if sigma is not None and joint in joints:
            number = joints.index(joint)
            weights = torch.zeros(body.num_joints)
            weights[number] = 1
            rows.append((name, column, body.J_regressor[number], weights, sigma))
    names = tuple(row[0] for row in rows)
    plain = [name.removeprefix("left_").removeprefix("right_") for name in names]
    unique = list(dict.fromkeys(plain))
    side = torch.ones(len(rows), 3)
    side[[row for row, name in enumerate(names) if name.startswith("right_")], 0] = -1
    return Anchors(
        names=names,
        columns=torch.tensor([row[1] for row in rows]),
        regressor=torch.stack([row[2] for row in rows]),
        weights=torch.stack([row[3] for row in rows]),
        sigma=torch.tensor([row[4] for row in rows]),
        shared=torch.tensor([unique.index(name) for name in plain]),
        side=side,
    )
