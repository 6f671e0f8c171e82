"""The avatar that moves, in one glTF file: Gaussians, skeleton, weights and clips.

Gaussians are points with the attributes of KHR_gaussian_splatting, the skeleton is a standard skin. How the skin turns
a Gaussian, which neither says, is our written extension HGG_skinned_splats; see docs/skinned_splats.md.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from hgg_pyg.avatar.avatar import Avatar
from hgg_pyg.avatar.exporters.gltf import GltfBuffer
from hgg_pyg.avatar.exporters.registry import MovingExporter
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.io.files import write_atomically
from hgg_pyg.render.scene import EPS2D

_log = logging.getLogger(__name__)

SPLATS = "KHR_gaussian_splatting"
SKINNED = "HGG_skinned_splats"
VERSION = 1
"""Of our extension: raised where an older reader would draw something else."""

_GRID = 65536  # places a metre has: 15 micrometres, a hundredth of a splat
_STEP = 1 / 65535  # metres: a scale of 0 would leave a Gaussian without volume
_Y0 = 0.28209479177387814  # the constant harmonic, 1 / (2 sqrt(pi))


def glb_bytes(avatar: Avatar, motions: Sequence[Motion] = (), precise: bool = False) -> bytes:
    """The avatar and motions of it as a .glb file, without compression. Splats are sorted by what they are bound to.

    Args:
        avatar: M Gaussians.
        motions: become clips of their names, one key per frame; for this avatar's skeleton.
        precise: everything in float32 and all weights, 80 bytes per Gaussian or more. Otherwise 56: places and scales
            in steps of 15 micrometres, rotations, opacities and colours as bytes, the four greatest weights as 16 bits.
    """
    buffer = GltfBuffer()
    order = torch.argsort(avatar.binding, stable=True)  # neighbours share weights: gzip halves the file by that
    attributes = _splats(buffer, avatar, order, precise) | _weights(buffer, avatar, order, precise)
    joints = len(avatar.skeleton.names)
    inverse = np.tile(np.eye(4, dtype=np.float32), (joints, 1, 1))
    inverse[:, 3, :3] = -_array(avatar.skeleton.joints)  # by columns
    primitive = {
        "attributes": attributes,
        "mode": 0,
        "extensions": {
            SPLATS: {
                "kernel": "ellipse",
                "colorSpace": "srgb_rec709_display",
                "projection": "perspective",
                "sortingMethod": "cameraDistance",
                "extensions": {SKINNED: _extension(avatar)},
            }
        },
    }
    document: dict[str, Any] = {
        "asset": _asset(avatar),
        "extensionsUsed": [SPLATS, SKINNED],
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"name": "avatar", "mesh": 0, "skin": 0}, *_bones(avatar)],
        "meshes": [{"name": "avatar", "primitives": [primitive]}],
        "skins": [{"joints": [*range(1, joints + 1)], "skeleton": 1, "inverseBindMatrices": buffer.add(inverse)}],
    }
    if motions:
        document["animations"] = [_clip(buffer, avatar, motion) for motion in motions]
    return buffer.glb(document)


def write_glb(path: Path, avatar: Avatar, motions: Sequence[Motion], precise: bool) -> None:
    """`glb_bytes` in a file."""
    content = glb_bytes(avatar, motions, precise)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


EXPORTER = MovingExporter(
    name="glb",
    summary="glTF: Gaussians, skeleton and clips that a reader of our extension moves; points elsewhere",
    suffix=".glb",
    write=write_glb,
)


def _splats(buffer: GltfBuffer, avatar: Avatar, order: Tensor, precise: bool) -> dict[str, int]:
    own = avatar.gaussians[order]
    rotations = _array(normalize(own.quats.double(), dim=1, eps=0)[:, [1, 2, 3, 0]])
    scales, opacities, colors = _array(own.scales), _array(own.opacities.clamp(0, 1)), _array(own.colors)
    means = _array(own.means)
    if (
        not precise
    ):  # still floats, as the extension wants them, but of few values: gzip takes a tenth off the file by it
        means, colors = _rounded(means, _GRID), _rounded(colors, 255)

    def add(values: np.ndarray, kind: type[np.integer], fits: bool = True) -> int:
        if precise or not fits:
            return buffer.add_vertices(values)
        return buffer.add_vertices(_integers(values, kind), normalized=True)

    shown = np.concatenate([_linear(colors.clip(0, 1)), opacities[:, None]], 1)
    return {
        "POSITION": buffer.add_vertices(means, bounds=True),
        "COLOR_0": buffer.add_vertices(_integers(shown, np.uint8), normalized=True),
        f"{SPLATS}:ROTATION": add(rotations, np.int8),
        f"{SPLATS}:SCALE": add(scales if precise else scales.clip(_STEP), np.uint16, fits=scales.max() <= 1),
        f"{SPLATS}:OPACITY": add(opacities, np.uint8),
        f"{SPLATS}:SH_DEGREE_0_COEF_0": buffer.add_vertices(((colors - 0.5) / _Y0).astype(np.float32)),
    }


def _weights(buffer: GltfBuffer, avatar: Avatar, order: Tensor, precise: bool) -> dict[str, int]:
    """Joints and weights in sets of four, the greatest first; what is not precise has one set."""
    held, binding = avatar.weights.double().cpu(), avatar.binding[order].cpu()
    used = (held > 0).sum(1)  # [R]
    sets = -(-int(used.max()) // 4) if precise else 1
    if more := int((used > 4 * sets)[binding].sum()):
        _log.info(
            "%d of %d Gaussians follow more than four joints: the four that count most are kept", more, len(binding)
        )
    count = min(4 * sets, held.shape[1])
    weights, joints = held.topk(count, 1)
    weights = pad(weights / weights.sum(1, keepdim=True), (0, 4 * sets - count)).numpy()
    joints = pad(joints, (0, 4 * sets - count)).numpy()
    stored = weights.astype(np.float32) if precise else _shares(weights)
    joints = np.where(stored > 0, joints, 0).astype(np.uint8 if held.shape[1] <= 256 else np.uint16)
    found = {}
    for index in range(sets):
        four = slice(4 * index, 4 * index + 4)
        found[f"JOINTS_{index}"] = buffer.add_vertices(joints[:, four][binding])
        found[f"WEIGHTS_{index}"] = buffer.add_vertices(stored[:, four][binding], normalized=not precise)
    return found


def _shares(weights: np.ndarray) -> np.ndarray:
    """Weights that sum to 1 as 16-bit integers that sum to 65535. [M, K]"""
    rounded = np.round(weights * 65535).astype(np.int64)
    rounded[:, 0] += 65535 - rounded.sum(1)  # the greatest
    return rounded.astype(np.uint16)


def _bones(avatar: Avatar) -> list[dict[str, Any]]:
    """A node for each joint, after the node that is drawn; moved by translations alone in the rest pose."""
    skeleton, nodes = avatar.skeleton, []
    places = _array(skeleton.joints)
    for joint, (name, parent) in enumerate(zip(skeleton.names, skeleton.parents, strict=True)):
        offset = places[joint] - places[parent] if parent >= 0 else places[joint]
        node: dict[str, Any] = {"name": name, "translation": offset.tolist()}
        if children := [child + 1 for child, own in enumerate(skeleton.parents) if own == joint]:
            node["children"] = children
        nodes.append(node)
    return nodes


def _clip(buffer: GltfBuffer, avatar: Avatar, motion: Motion) -> dict[str, Any]:
    """A motion as rotations of all joints, one key for those that rest, and places of the root."""
    angles = torch.cat([motion.global_orient, motion.body_pose], 1).double().cpu().unflatten(1, (-1, 3))
    rotations = _rotations(angles.numpy())  # [T, J, 4]
    places = _array(avatar.skeleton.joints[0] + motion.transl)
    times = buffer.add((np.arange(len(motion)) / motion.fps).astype(np.float32), bounds=True)
    still = (rotations == rotations[:1]).all((0, 2))  # [J]
    start = buffer.add(np.zeros(1, np.float32), bounds=True) if still.any() else times
    samplers = [
        {"input": start if rests else times, "output": buffer.add(np.ascontiguousarray(keys[:1] if rests else keys))}
        for keys, rests in zip(rotations.swapaxes(0, 1), still, strict=True)
    ]
    channels = [
        {"sampler": joint, "target": {"node": joint + 1, "path": "rotation"}} for joint in range(rotations.shape[1])
    ]
    samplers.append({"input": times, "output": buffer.add(places)})
    channels.append({"sampler": len(samplers) - 1, "target": {"node": 1, "path": "translation"}})
    return {"name": motion.name, "samplers": samplers, "channels": channels}


def _rotations(axis_angle: np.ndarray) -> np.ndarray:
    """Quaternions xyzw, each in the half of the one before it, so that between two frames the short way is taken.

    [T, J, 3] radians -> [T, J, 4] float32
    """
    half = np.linalg.norm(axis_angle, axis=-1, keepdims=True) / 2
    quats = np.concatenate([axis_angle / 2 * np.sinc(half / np.pi), np.cos(half)], -1)
    flips = np.where((quats[1:] * quats[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    quats[1:] *= np.cumprod(flips, 0)
    return quats.astype(np.float32)


def _extension(avatar: Avatar) -> dict[str, Any]:
    """What a reader has to know beyond glTF and its Gaussians."""
    return {
        "version": VERSION,
        "rotation": "polar",
        "footprint": {"variance": EPS2D, "focal": avatar.seen.focal, "distance": avatar.seen.distance},
        "betas": avatar.betas.tolist(),
    }


def _asset(avatar: Avatar) -> dict[str, Any]:
    asset: dict[str, Any] = {"version": "2.0", "generator": "hgg_pyg"}
    if licence := avatar.about.get("licence"):
        asset["copyright"] = licence
    if avatar.about:
        asset["extras"] = dict(avatar.about)
    return asset


def _integers(values: np.ndarray, kind: type[np.integer]) -> np.ndarray:
    """Numbers in [0, 1] or [-1, 1] by the nearest integers of a kind."""
    return np.round(values * np.iinfo(kind).max).astype(kind)


def _rounded(values: np.ndarray, steps: int) -> np.ndarray:
    """To whole numbers of so many steps in 1. float32"""
    return (np.round(values.astype(np.float64) * steps) / steps).astype(np.float32)


def _linear(colors: np.ndarray) -> np.ndarray:
    """sRGB's transfer function undone: glTF has COLOR_0 in linear light. Both in [0, 1]"""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
