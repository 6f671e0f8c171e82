"""Small motion files of made-up people, and where their joints are, computed in the plainest way."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar import Motion
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.body import BodyModel

LIMBS = [
    (f"{side}_{upper}", f"{side}_{lower}")
    for side in ("left", "right")
    for upper, lower in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]
Z_UP = Rotation.from_euler("x", 90, degrees=True)


@dataclass(frozen=True)
class Source:
    """Somebody else's skeleton."""

    names: list[str]
    parents: list[int]
    offsets: np.ndarray  # [S, 3] at rest, y up, facing z, unless turned
    ours: dict[str, str]  # its names by those of SMPL that have limbs

    def turned(self, rotation: Rotation) -> Source:
        """The same, standing in another direction."""
        return replace(self, offsets=rotation.apply(self.offsets))

    def places(self, local: np.ndarray, root: np.ndarray) -> dict[str, np.ndarray]:
        """Where the joints are, by SMPL's names, for Euler angles ZXY [T, S, 3] in degrees and roots [T, 3]. [T, 3]"""
        found = np.zeros((len(local), len(self.names), 3))
        for frame, angles in enumerate(local):
            turns: list[np.ndarray] = []
            for joint, parent in enumerate(self.parents):
                own = np.eye(3)
                for axis, angle in zip("zxy", angles[joint], strict=True):
                    own = own @ Rotation.from_euler(axis, angle, degrees=True).as_matrix()
                turns.append(own if parent < 0 else turns[parent] @ own)
                above = root[frame] if parent < 0 else found[frame, parent] + turns[parent] @ self.offsets[joint]
                found[frame, joint] = above
        return {ours: found[:, self.names.index(name)] for ours, name in self.ours.items()}


def person(names: dict[str, str], arms: str = "stretched", extra: bool = False) -> Source:
    """A person of 1.7 units whose joints are called so.

    Args:
        names: by SMPL's.
        arms: at rest: "stretched" sideways, "lowered" by 45 degrees, or "hanging".
        extra: with joints between pelvis and hips as the CMU recordings have them.
    """
    down = {"stretched": 0, "lowered": 45, "hanging": 90}[arms]
    rows: list[tuple[str, str | None, list[float]]] = [
        ("pelvis", None, [0, 0, 0]),
        ("spine1", "pelvis", [0, 0.1, -0.01]),
        ("spine3", "spine1", [0, 0.2, 0]),
        ("neck", "spine3", [0, 0.2, 0]),
        ("head", "neck", [0, 0.1, 0.02]),
    ]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hip = "pelvis"
        if extra:
            rows.append((hip := f"{side}_extra", "pelvis", [0, 0, 0]))
        rows += [
            (f"{side}_hip", hip, [0.1 * sign, -0.07, 0]),
            (f"{side}_knee", f"{side}_hip", [0.02 * sign, -0.41, 0]),
            (f"{side}_ankle", f"{side}_knee", [0, -0.4, -0.02]),
            (f"{side}_foot", f"{side}_ankle", [0, -0.06, 0.13]),
            (f"{side}_collar", "spine3", [0.05 * sign, 0.12, 0]),
            (f"{side}_shoulder", f"{side}_collar", [0.12 * sign, 0, 0]),
        ]
        along = Rotation.from_euler("z", -down * sign, degrees=True).apply([sign, 0, 0])
        rows.append((f"{side}_elbow", f"{side}_shoulder", list(0.28 * along)))
        rows.append((f"{side}_wrist", f"{side}_elbow", list(0.26 * along)))
    rows = [row for row in rows if row[0] in names or row[0].endswith("extra")]
    order = [row[0] for row in rows]
    return Source(
        [names.get(row[0], f"{row[0][0].upper()}HipJoint") for row in rows],
        [-1 if row[1] is None else order.index(row[1]) for row in rows],
        np.array([row[2] for row in rows]),
        {row[0]: names[row[0]] for row in rows if row[0] in names},
    )


def _sided(trunk: dict[str, str], limbs: dict[str, str]) -> dict[str, str]:
    both = {
        f"{side}_{ours}": name.format(Side=side.title(), S=side[0].upper())
        for side in ("left", "right")
        for ours, name in limbs.items()
    }
    return trunk | both


_CMU = {"hip": "{Side}UpLeg", "knee": "{Side}Leg", "ankle": "{Side}Foot", "foot": "{Side}ToeBase",
        "collar": "{Side}Shoulder", "shoulder": "{Side}Arm", "elbow": "{Side}ForeArm",
        "wrist": "{Side}Hand"}  # fmt: skip
_BANDAI = {"hip": "UpperLeg_{S}", "knee": "LowerLeg_{S}", "ankle": "Foot_{S}", "foot": "Toes_{S}",
           "collar": "Shoulder_{S}", "shoulder": "UpperArm_{S}", "elbow": "LowerArm_{S}",
           "wrist": "Hand_{S}"}  # fmt: skip
_PLAIN = {"hip": "{Side}Hip", "knee": "{Side}Knee", "ankle": "{Side}Ankle", "collar": "{Side}Collar",
          "shoulder": "{Side}Shoulder", "elbow": "{Side}Elbow", "wrist": "{Side}Wrist"}  # fmt: skip
_TRUNK = {"pelvis": "Hips", "spine1": "LowerBack", "spine3": "Spine1", "neck": "Neck1", "head": "Head"}
SOURCES = {
    "CMU": person(_sided(_TRUNK, _CMU), "stretched", extra=True),
    "Mixamo": person({k: f"mixamorig:{name}" for k, name in _sided(_TRUNK, _CMU).items()}, "lowered"),
    "Bandai Namco, standing": person(_sided({**_TRUNK, "spine1": "Spine", "spine3": "Chest"}, _BANDAI), "hanging"),
    "plain": person(_sided({**_TRUNK, "spine1": "Chest", "spine3": "Chest2", "neck": "Neck"}, _PLAIN), "hanging"),
}


def bandai_namco() -> tuple[Source, np.ndarray]:
    """One whose bones at rest all lie along x, and the angles with which it stands, arms stretched. [S, 3] degrees"""
    standing = SOURCES["Bandai Namco, standing"]
    stretched = person(standing.ours)
    places = np.zeros((len(stretched.names), 3))
    for joint, parent in enumerate(stretched.parents):
        places[joint] = stretched.offsets[joint] + (places[parent] if parent >= 0 else 0)
    turns = []
    for name in stretched.ours:  # the joints' own axes as columns: x along the bone, backwards on the right
        sign = -1.0 if name.startswith("right") else 1.0
        if name == "pelvis":
            axes = [[0, 1, 0], [-1, 0, 0]]
        elif "_" not in name:
            axes = [[0, 1, 0], [0, 0, 1]]
        elif name.endswith(("collar", "shoulder", "elbow", "wrist")):
            axes = [[1, 0, 0], [0, sign, 0]]
        elif name.endswith(("hip", "knee")):
            axes = [[0, -sign, 0], [1, 0, 0]]
        else:
            slope = np.radians(39.6 if name.endswith("ankle") else 22.5)
            axes = [[0, -sign * np.sin(slope), sign * np.cos(slope)], [1, 0, 0]]
        turns.append(np.stack([*axes, np.cross(*axes)], 1))
    offsets = np.array(
        [turns[p].T @ (places[j] - places[p]) if p >= 0 else np.zeros(3) for j, p in enumerate(stretched.parents)]
    )
    for joint, name in enumerate(stretched.ours):  # limbs are exactly along it
        if any(lower == name for _, lower in LIMBS):
            offsets[joint] = np.linalg.norm(offsets[joint]) * np.sign(offsets[joint, 0]) * np.eye(3)[0]
    local = [turns[p].T @ turns[j] if p >= 0 else turns[j] for j, p in enumerate(stretched.parents)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of angles that are not the only ones: any will do
        angles = Rotation.from_matrix(np.stack(local)).as_euler("ZXY", degrees=True)
    return replace(stretched, offsets=offsets), angles


def movement(source: Source, frames: int = 6, seed: int = 0, most: float = 25.0) -> tuple[np.ndarray, np.ndarray]:
    """Some Euler angles ZXY of all joints, degrees [T, S, 3], and ways of the root, with a jump, in metres [T, 3]."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 1, frames)[:, None, None]
    angles = rng.uniform(-most, most, (len(source.names), 3)) * np.sin(2 * phase + rng.uniform(0, 3))
    root = np.stack([np.linspace(0, 0.8, frames), np.full(frames, 0.9), np.linspace(0, 0.3, frames)], 1)
    root[frames // 2, 1] += 0.3
    return angles, root


def write_bvh(path: Path, source: Source, local: np.ndarray, root: np.ndarray, frame_time: str = "0.0333333") -> Path:
    """A BVH file of Euler angles ZXY, degrees [T, S, 3], and places of the root [T, 3]."""
    lines = ["HIERARCHY"]

    def add(joint: int) -> None:
        kind, first = ("ROOT", "6 Xposition Yposition Zposition") if source.parents[joint] < 0 else ("JOINT", "3")
        lines.extend([f"{kind} {source.names[joint]}", "{", "OFFSET {} {} {}".format(*source.offsets[joint])])
        lines.append(f"CHANNELS {first} Zrotation Xrotation Yrotation")
        below = [child for child, parent in enumerate(source.parents) if parent == joint]
        for child in below:
            order.append(child)
            add(child)
        if not below:
            lines.extend(["End Site", "{", "OFFSET 0 0.1 0", "}"])
        lines.append("}")

    order = [0]
    add(0)
    lines += ["MOTION", f"Frames: {len(local)}", f"Frame Time: {frame_time}"]
    for angles, place in zip(local, root, strict=True):
        lines.append(" ".join(f"{number:.7f}" for number in (*place, *angles[order].reshape(-1))))
    path.write_text("\n".join(lines) + "\n")
    return path


def skeleton_of(body: BodyModel, scale: float = 1.0) -> Skeleton:
    """The default person's skeleton, or a larger one."""
    joints = body.rest_joints(torch.zeros(10)) * scale
    return Skeleton(body.joint_names, tuple(body.parents.tolist()), joints)


def joints_of(motion: Motion, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Where the joints are in a motion, by name. [T, 3]"""
    maps = skeleton.transforms(motion.pose(torch.zeros(0))).double()
    places = torch.einsum("tjab,jb->jta", maps[..., :3, :3], skeleton.joints.double()) + maps[..., :3, 3].transpose(
        0, 1
    )
    return dict(zip(skeleton.names, (places + motion.transl.double()).numpy(), strict=True))


def directions(places: dict[str, np.ndarray]) -> np.ndarray:
    """Where arms and legs point, limb by limb. [8, T, 3] unit"""
    ways = np.stack([places[lower] - places[upper] for upper, lower in LIMBS])
    return ways / np.linalg.norm(ways, axis=-1, keepdims=True)


def lowest(motion: Motion, body: BodyModel) -> np.ndarray:
    """The lowest point of the default person's skin in every frame. [T] metres"""
    return body.pose(motion.pose(torch.zeros(10))).vertices[..., 1].min(1).values.numpy()


def leg(places: dict[str, np.ndarray]) -> float:
    """How long the left leg is, from hip by knee to ankle, in the first frame."""
    hip, knee, ankle = (places[f"left_{joint}"][0] for joint in ("hip", "knee", "ankle"))
    return float(np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle))
