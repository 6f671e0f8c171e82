"""An avatar in one safetensors file: what is in it, how it is written, and how it is read and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hgg_pyg.avatar.avatar import Avatar, Seen
from hgg_pyg.avatar.motion import FASTEST, MOST_FRAMES, SLOWEST, Motion
from hgg_pyg.avatar.skeleton import Skeleton
from hgg_pyg.io.json_files import parse_json
from hgg_pyg.io.limits import ARRAYS, opened, size_text
from hgg_pyg.io.shown import shown
from hgg_pyg.io.tensors import load_tensors, save_tensors
from hgg_pyg.types import Gaussians, NotFiniteError, UserError

SUFFIX = ".avatar"
VERSION = 1  # raise it whenever an earlier reader would take a file for something else
_KEY = "hgg_pyg avatar"  # of the file's metadata: the header below, as JSON
_CONVENTIONS = {
    "units": "metres, radians",
    "axes": "rest pose with y up, x to the person's left, facing z",
    "quats": "wxyz",
    "scales": "standard deviations along the Gaussian's axes",
    "opacities": "0 to 1",
    "colors": "sRGB, 0 to 1",
    "motions": "axis-angle of each joint in its parent's frame; transl moves the body whose root turns about its joint",
}
_MOST_JOINTS, _MOST_MOTIONS, _MOST_BETAS = 1024, 256, 1000
_MOST = 1e9  # of any number: products of four of them are still finite as float32
_NEAREST, _FARTHEST = 1e-6, 1e9  # pixels and metres from which somebody can have been seen
_FIELDS = ("means", "quats", "scales", "opacities", "colors")
_ABOUT_LENGTH = 100_000  # characters of all texts about it
_SMALLEST = torch.finfo(torch.float32).tiny  # a scale of 0 has no logarithm, which other files hold
_SLACK = 1e-3  # by which rows of weights may miss a sum of 1


def write_avatar(path: Path, avatar: Avatar) -> None:
    """Write an avatar, all of the file or nothing.

    The tensors: `means` [M, 3], `quats` [M, 4], `scales` [M, 3], `opacities` [M], `colors` [M, 3], `binding` [M] int32,
    `weights` [R, J], `joints` [J, 3], `betas` [B], and of motion i `motion.i.global_orient` [T, 3],
    `motion.i.body_pose` [T, (J - 1) * 3], `motion.i.transl` [T, 3] and, if it was captured, `motion.i.from_world`
    [4, 4]. The metadata's key `hgg_pyg avatar` is a JSON object with `version`, the conventions, `skeleton` (names and
    parents), `seen`, `motions` (name and fps), and `about`.

    Raises:
        UserError: the file cannot be written.
        NotFiniteError: a number is NaN, infinite or beyond 1e9.
    """
    tensors: dict[str, Tensor] = {name: getattr(avatar.gaussians, name).float() for name in _FIELDS}
    tensors |= {"binding": avatar.binding.int(), "weights": avatar.weights.float()}
    tensors |= {"joints": avatar.skeleton.joints.float(), "betas": avatar.betas.float()}
    for index, motion in enumerate(avatar.motions):
        tensors |= {f"motion.{index}.{name}": tensor.float() for name, tensor in _of_motion(motion)}
    for name, tensor in tensors.items():
        if not (tensor.abs() <= _MOST).all():
            raise NotFiniteError(f"{path}: {name}: expected finite numbers within {_MOST:g}, found NaN or larger ones")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # no two may share memory in such a file
    header = {
        "version": VERSION,
        **_CONVENTIONS,
        "skeleton": {"names": avatar.skeleton.names, "parents": avatar.skeleton.parents},
        "seen": {"focal": avatar.seen.focal, "distance": avatar.seen.distance},
        "motions": [{"name": motion.name, "fps": motion.fps} for motion in avatar.motions],
        "about": dict(avatar.about),
    }
    save_tensors(path, tensors, {_KEY: json.dumps(header)})


def read_avatar(path: Path) -> Avatar:
    """Read an avatar and check all of it; nothing in the file is executed.

    Raises:
        UserError: no such file, not an avatar, one of a later version, a damaged one, or one that makes no sense.
    """
    if path.is_dir():
        made = "python -m hgg_pyg.avatar makes one of a capture"
        raise UserError(f"{path}: expected an avatar file, found a folder; {made}")
    with opened(path, "an avatar file") as file:
        if (size := file.seek(0, 2)) > ARRAYS:
            raise UserError(f"{path}: expected an avatar file of at most {size_text(ARRAYS)}, found {size_text(size)}")
    file = load_tensors(path)
    if _KEY not in file.metadata:
        raise UserError(f"{path}: expected an avatar, found a safetensors file of something else")
    if not file.sealed:
        raise UserError(f"{path}: expected the digest of its content, found none: the file is damaged")
    try:
        header = parse_json(file.metadata[_KEY].encode())
        return _avatar(header, file.tensors)
    except KeyError as error:
        raise UserError(f"{path}: expected the key {error} of an avatar, found none") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: expected a header of an avatar, found what is not JSON ({error})") from None
    except ValueError as error:
        raise UserError(f"{path}: {shown(error, 300)}") from None


def _of_motion(motion: Motion) -> Iterator[tuple[str, Tensor]]:
    for name in ("global_orient", "body_pose", "transl", "from_world"):
        if (tensor := getattr(motion, name)) is not None:
            yield name, tensor


def _avatar(header: Any, tensors: Mapping[str, Tensor]) -> Avatar:
    """An avatar out of what a file holds, whatever that is.

    Raises:
        KeyError, ValueError: it is not what `write_avatar` writes.
    """
    version = _kind("header", header, dict)["version"]
    if version != VERSION:
        later = isinstance(version, int) and version > VERSION
        raise ValueError(
            f"version: expected {VERSION}, found {shown(version)}{': a later version wrote it' if later else ''}"
        )
    skeleton = _skeleton(_kind("skeleton", header["skeleton"], dict), tensors)
    gaussians = Gaussians(*(_floats(tensors, name) for name in _FIELDS))
    for name in ("means", "colors"):
        if getattr(gaussians, name).shape[1:] != (3,) or not len(gaussians):
            raise ValueError(f"{name}: expected (M, 3), M > 0, found {tuple(getattr(gaussians, name).shape)}")
    _check_range("scales", gaussians.scales, _SMALLEST, _MOST)
    _check_range("opacities", gaussians.opacities, 0, 1)
    _check_range("quats: lengths", gaussians.quats.double().norm(dim=1), 1 / _MOST, 2 * _MOST)
    weights, binding, betas = _floats(tensors, "weights"), tensors["binding"], _floats(tensors, "betas")
    if weights.shape[1:] != (len(skeleton),) or not len(weights):
        raise ValueError(f"weights: expected (R, {len(skeleton)}), R > 0, found {tuple(weights.shape)}")
    _check_range("weights", weights, 0, 1)
    sums = weights.sum(1)
    if float((sums - 1).abs().max()) > _SLACK:
        raise ValueError(f"weights: expected rows that sum to 1, found {float(sums.min()):g} to {float(sums.max()):g}")
    if binding.dtype != torch.int32:
        raise ValueError(f"binding: expected int32, found {_name_of(binding.dtype)}")
    if betas.ndim != 1 or len(betas) > _MOST_BETAS:
        raise ValueError(f"betas: expected (B,), B up to {_MOST_BETAS:,}, found {tuple(betas.shape)}")
    motions, about = _kind("motions", header["motions"], list), _kind("about", header["about"], dict)
    seen = _kind("seen", header["seen"], dict)
    if len(motions) > _MOST_MOTIONS:
        raise ValueError(f"motions: expected at most {_MOST_MOTIONS}, found {len(motions)}")
    if not all(isinstance(text, str) for text in about.values()):
        raise ValueError(f"about: expected texts, found {shown(about)}")
    if sum(map(len, about.values())) > _ABOUT_LENGTH:
        raise ValueError(f"about: expected at most {_ABOUT_LENGTH:,} characters, found more")
    return Avatar(
        gaussians=gaussians,
        binding=binding.long(),
        weights=weights,
        skeleton=skeleton,
        betas=betas,
        seen=Seen(*(_number(f"seen: {name}", seen[name], _NEAREST, _FARTHEST) for name in ("focal", "distance"))),
        motions=tuple(_motion(entry, f"motion.{i}", tensors, len(skeleton)) for i, entry in enumerate(motions)),
        about=about,
    )


def _skeleton(entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Skeleton:
    names, parents = (tuple(_kind(f"skeleton: {name}", entry[name], list)) for name in ("names", "parents"))
    count = len(names)
    if not 0 < count <= _MOST_JOINTS or len(set(names)) < count or not all(isinstance(n, str) and n for n in names):
        raise ValueError(f"skeleton: names: expected 1 to {_MOST_JOINTS} different names, found {shown(names)}")
    in_order = len(parents) == count and parents[0] == -1 and all(type(p) is int for p in parents)
    if not in_order or not all(0 <= parent < joint for joint, parent in enumerate(parents[1:], 1)):
        raise ValueError(f"skeleton: parents: expected -1, then joints that stand before, found {shown(parents)}")
    joints = _floats(tensors, "joints")
    if tuple(joints.shape) != (count, 3):
        raise ValueError(f"joints: expected ({count}, 3), found {tuple(joints.shape)}")
    return Skeleton(names, parents, joints)


def _motion(entry: Any, prefix: str, tensors: Mapping[str, Tensor], joints: int) -> Motion:
    name, fps = _kind("motions", entry, dict)["name"], _number("motions: fps", entry["fps"], SLOWEST, FASTEST)
    if not isinstance(name, str) or not name:
        raise ValueError(f"motions: name: expected a text, found {shown(name)}")
    parts = [_floats(tensors, f"{prefix}.{part}") for part in ("global_orient", "body_pose", "transl")]
    if parts[1].shape[1:] != ((joints - 1) * 3,):
        raise ValueError(f"{prefix}.body_pose: expected (T, {(joints - 1) * 3}), found {tuple(parts[1].shape)}")
    if len(parts[1]) > MOST_FRAMES:
        raise ValueError(f"{prefix}: expected at most {MOST_FRAMES:,} frames, found {len(parts[1]):,}")
    place = f"{prefix}.from_world"
    world = _floats(tensors, place) if place in tensors else None
    if world is not None and tuple(world.shape) != (4, 4):
        raise ValueError(f"{place}: expected (4, 4), found {tuple(world.shape)}")
    global_orient, body_pose, transl = parts
    return Motion(name, fps, global_orient, body_pose, transl, world)


def _floats(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    tensor = tensors[name]
    if tensor.dtype != torch.float32:
        raise ValueError(f"{name}: expected float32, found {_name_of(tensor.dtype)}")
    if tensor.numel():
        _check_range(name, tensor, -_MOST, _MOST)
    return tensor


def _name_of(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _check_range(name: str, tensor: Tensor, least: float, most: float) -> None:
    low, high = float(tensor.min()), float(tensor.max())
    if low < least or high > most:
        raise ValueError(f"{name}: expected numbers from {least:g} to {most:g}, found {low:g} to {high:g}")


def _number(name: str, value: Any, least: float, most: float) -> float:
    if not isinstance(value, float | int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name}: expected a number from {least:g} to {most:g}, found {shown(value)}")
    return float(value)


def _kind(name: str, value: Any, kind: type) -> Any:
    """A value of the header, which is of this kind."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}: expected {'an object' if kind is dict else 'a list'}, found {shown(value)}")
    return value
