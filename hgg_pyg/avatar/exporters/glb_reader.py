"""A reader of skinned splats in glTF, by its text alone: docs/skinned_splats.md in numpy.

It shares no code with the writer or with our skinning, so that each can be held against it, and so that it can be read
as an example by those who write a reader of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.io.json_files import parse_json
from hgg_pyg.io.limits import SPLAT_FILE, read_within
from hgg_pyg.types import UserError

_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_SPLATS, _SKINNED = "KHR_gaussian_splatting", "HGG_skinned_splats"
_Y0 = 0.28209479177387814


@dataclass(frozen=True)
class Clip:
    """A motion: what moves nodes, each from key to key."""

    keys: Mapping[tuple[int, str], tuple[np.ndarray, np.ndarray]]
    """times [T] in seconds and values [T, 3 or 4] by node and "translation" or "rotation" """

    @property
    def duration(self) -> float:
        """The last key's time, seconds."""
        return max((float(times[-1]) for times, _ in self.keys.values()), default=0.0)

    def at(self, node: int, path: str, time: float) -> np.ndarray | None:
        """What a node's translation or rotation is at a time; None where the clip does not say."""
        if (node, path) not in self.keys:
            return None
        times, values = self.keys[node, path]
        after = int(np.searchsorted(times, time, "right").clip(1, max(len(times) - 1, 1)))
        if after >= len(times):
            return values[0]
        share = float(np.clip((time - times[after - 1]) / (times[after] - times[after - 1]), 0, 1))
        before, behind = values[after - 1], values[after]
        return _slerp(before, behind, share) if path == "rotation" else (1 - share) * before + share * behind


@dataclass(frozen=True)
class Splats:
    """M Gaussians somewhere. float64"""

    means: np.ndarray  # [M, 3] metres
    rotations: np.ndarray  # [M, 3, 3]
    scales: np.ndarray  # [M, 3] standard deviations, metres
    opacities: np.ndarray  # [M]
    colors: np.ndarray  # [M, 3] sRGB

    @property
    def covariances(self) -> np.ndarray:
        """[M, 3, 3] square metres"""
        axes = self.rotations * self.scales[:, None]
        return axes @ axes.swapaxes(1, 2)


@dataclass(frozen=True)
class Nodes:
    """What joints hang on, at rest."""

    names: tuple[str, ...]
    parents: tuple[int, ...]  # -1 for roots
    translations: np.ndarray  # [N, 3]
    rotations: np.ndarray  # [N, 4] xyzw


@dataclass(frozen=True)
class SkinnedSplats:
    """What is in a file."""

    splats: Splats  # at rest
    joints: np.ndarray  # [M, K] of the skin's joints
    weights: np.ndarray  # [M, K] rows sum to 1
    skin: tuple[int, ...]  # the node of each joint
    inverse_bind: np.ndarray  # [J, 4, 4]
    nodes: Nodes
    clips: Mapping[str, Clip]
    extension: Mapping[str, Any]  # HGG_skinned_splats
    asset: Mapping[str, Any]

    def skin_matrices(self, clip: str | None = None, time: float = 0.0) -> np.ndarray:
        """The joints' maps from rest pose to world in a clip, at rest without one. [J, 4, 4]"""
        moving, nodes, world = self.clips[clip] if clip else Clip({}), self.nodes, dict[int, np.ndarray]()

        def place(node: int) -> np.ndarray:
            if node not in world:
                rotation = moving.at(node, "rotation", time)
                translation = moving.at(node, "translation", time)
                local = np.eye(4)
                local[:3, :3] = _matrices(nodes.rotations[node] if rotation is None else rotation)
                local[:3, 3] = nodes.translations[node] if translation is None else translation
                world[node] = local if nodes.parents[node] < 0 else place(nodes.parents[node]) @ local
            return world[node]

        return np.stack([place(node) for node in self.skin]) @ self.inverse_bind

    def pose(self, clip: str | None = None, time: float = 0.0) -> Splats:
        """The Gaussians in a clip at a time in seconds; at rest without one.

        Means move by the blend of their joints' matrices, rotations turn by the rotation nearest to it.
        """
        blended = np.einsum("mk,mkab->mab", self.weights, self.skin_matrices(clip, time)[self.joints])
        linear, rest = blended[:, :3, :3], self.splats
        left, _, right = np.linalg.svd(linear)
        means = (linear @ rest.means[..., None])[..., 0] + blended[:, :3, 3]
        return Splats(means, left @ right @ rest.rotations, rest.scales, rest.opacities, rest.colors)


def read_glb(path: Path) -> SkinnedSplats:
    """Skinned splats in a .glb file.

    Raises:
        UserError: no such file, it is none, it is cut off or damaged, or of a later version of the extension.
    """
    content = read_within(path, SPLAT_FILE, "a .glb file")
    try:
        return parse_glb(content)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path}: expected a .glb file of skinned splats, found a damaged one or another ({said})"
        ) from None


def parse_glb(content: bytes) -> SkinnedSplats:
    """Skinned splats in the bytes of a .glb file.

    Raises:
        ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error: that is not what they are.
    """
    magic, version, length, text_length, kind = struct.unpack_from("<4sIII4s", content)
    if magic != b"glTF" or version != 2 or kind != b"JSON" or length > len(content):
        raise ValueError("expected the header of glTF 2, and as many bytes as it says")
    document = parse_json(content[20 : 20 + text_length])
    buffer = content[28 + text_length :]

    def read(index: int) -> np.ndarray:
        return _accessor(document, buffer, index)

    drawn = next(node for node in document["nodes"] if "skin" in node)
    primitive, skin = document["meshes"][drawn["mesh"]]["primitives"][0], document["skins"][drawn["skin"]]
    extension = primitive["extensions"][_SPLATS]["extensions"][_SKINNED]
    if extension["version"] != 1:
        raise ValueError(f"expected {_SKINNED} of version 1, found {extension['version']}")
    named = primitive["attributes"]
    sets = range(sum(name.startswith("JOINTS_") for name in named))
    joints = np.concatenate([read(named[f"JOINTS_{index}"]) for index in sets], 1).astype(np.int64)
    weights = np.concatenate([read(named[f"WEIGHTS_{index}"]) for index in sets], 1)
    if joints.max() >= len(skin["joints"]):
        raise ValueError(f"a joint {joints.max()} of a skin of {len(skin['joints'])}")
    return SkinnedSplats(
        splats=Splats(
            means=read(named["POSITION"]),
            rotations=_matrices(read(named[f"{_SPLATS}:ROTATION"])),
            scales=read(named[f"{_SPLATS}:SCALE"]),
            opacities=read(named[f"{_SPLATS}:OPACITY"])[:, 0],
            colors=0.5 + _Y0 * read(named[f"{_SPLATS}:SH_DEGREE_0_COEF_0"]),
        ),
        joints=joints,
        weights=weights / weights.sum(1, keepdims=True),
        skin=tuple(skin["joints"]),
        inverse_bind=read(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2),  # from columns
        nodes=_nodes(document["nodes"]),
        clips={own["name"]: _clip(own, read) for own in document.get("animations", ())},
        extension=extension,
        asset=document["asset"],
    )


def _accessor(document: dict[str, Any], buffer: bytes, index: int) -> np.ndarray:
    """An accessor's values, integers as the numbers that they stand for. [N, 1..16] float64"""
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    dtype, width, count = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]], accessor["count"]
    stride = view.get("byteStride", dtype.itemsize * width)
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    if start < 0 or count < 1 or start + stride * (count - 1) + dtype.itemsize * width > len(buffer):
        raise ValueError(f"accessor {index} lies outside the buffer of {len(buffer)} bytes")
    values = np.ndarray((count, width), dtype, buffer, start, (stride, dtype.itemsize)).astype(np.float64)
    return values / np.iinfo(dtype).max if accessor.get("normalized") else values


def _nodes(entries: list[dict[str, Any]]) -> Nodes:
    parents = [-1] * len(entries)
    for node, entry in enumerate(entries):
        if "matrix" in entry or "scale" in entry:
            raise ValueError("nodes with a matrix or a scale, which the extension does not have")
        for child in entry.get("children", ()):
            parents[child] = node
    for node in range(len(entries)):
        up = node
        for _ in entries:
            up = parents[up] if up >= 0 else -1
        if up >= 0:
            raise ValueError("nodes in a circle")
    translations = [entry.get("translation", (0, 0, 0)) for entry in entries]
    rotations = [entry.get("rotation", (0, 0, 0, 1)) for entry in entries]
    return Nodes(
        names=tuple(entry.get("name", "") for entry in entries),
        parents=tuple(parents),
        translations=np.array(translations, np.float64).reshape(-1, 3),
        rotations=np.array(rotations, np.float64).reshape(-1, 4),
    )


def _clip(animation: dict[str, Any], read: Any) -> Clip:
    keys = {}
    for channel in animation["channels"]:
        sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
        keys[target["node"], target["path"]] = read(sampler["input"])[:, 0], read(sampler["output"])
    return Clip(keys)


def _matrices(quats: np.ndarray) -> np.ndarray:
    """Rotations of quaternions xyzw of any length. [..., 4] -> [..., 3, 3]"""
    x, y, z, w = np.moveaxis(quats / np.linalg.norm(quats, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _slerp(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    """The rotation that lies so far on the short way between two. xyzw, [4]"""
    cosine = float(before @ after)
    after, cosine = (after, cosine) if cosine >= 0 else (-after, -cosine)
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return (1 - share) * before + share * after
    return (np.sin((1 - share) * angle) * before + np.sin(share * angle) * after) / np.sin(angle)
