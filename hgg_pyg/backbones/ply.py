"""Gaussians that another program made: one 3DGS .ply a frame, read in the place of a per-frame network."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Annotated

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from hgg_pyg.backbones.base import Moment
from hgg_pyg.backbones.local import Local, localise
from hgg_pyg.body.skinning import matrix_to_quaternion, polar_rotation, quaternion_multiply
from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.io.splats import read_ply
from hgg_pyg.types import Gaussians, UserError

_VERSION = 1  # raise it whenever the same input gives another result
_SAMPLED, _SAMPLE = 32, 2**16  # files, and bytes of each, by which a moved folder is known
_NEIGHBOURS = 16
_SIZES = (1e-6, 10.0)  # metres: beyond these a size shows no difference, and half precision could not hold it
_FARTHEST = 100.0  # units of 5 cm that an offset is cut off at, for the sake of stray Gaussians
_ASTRAY = 0.5  # metres from the body, where half of a person's Gaussians cannot be
_WIDE = re.compile("[0-9]{4}")  # characters of a field, which no name has
_LONGEST_NAME = 255  # bytes
_FEATURES = (
    ("offset", 3),  # from the nearest vertex, 5 cm, at most 5 m
    ("rotation", 4),  # orientation, quaternion wxyz, w >= 0
    ("opacity", 1),
    ("size", 3),  # log, 2 cm, in the file's order
    ("color", 3),
    ("color_near", 3),  # mean of the 16 nearest Gaussians, itself one of them, weighted by opacity
    ("normal", 3),  # the shortest axis, on the side that the offset points to
)


@dataclass(frozen=True)
class PlyConfig:
    """Where the files are, and how they stand in the world."""

    folder: Path | None = None
    """folder of 3DGS .ply files"""
    pattern: str = "{subject}/{frame:08d}.ply"
    """path of a frame's file in the folder; {frame} is the frame's number, {subject} the subject's name (optional)"""
    transform: str | None = None
    """text file in the folder, {subject} optional: 4x4 similarity from the files' world to the capture's, in metres"""
    keep: Annotated[int, Bounds(0, 10**9)] = 0
    """number of Gaussians to keep per frame, the most opaque ones; 0 keeps all"""

    def __post_init__(self) -> None:
        check_choices(self)
        if not (_fits(self.pattern, {"subject", "frame"}, {"frame"}) and self.pattern.endswith(".ply")):
            expected = "expected a relative path with {frame}, perhaps {subject}, and .ply at its end"
            raise ValueError(f"PlyConfig.pattern: {expected}, found {self.pattern!r}")
        if self.transform is not None and not _fits(self.transform, {"subject"}, set()):
            expected = "expected a relative path, perhaps with {subject}"
            raise ValueError(f"PlyConfig.transform: {expected}, found {self.transform!r}")


class PlyBackbone:
    """Gaussians from one file per frame, brought into the capture's world. The images are not looked at.

    Colours are clamped to [0, 1], where those of images are: the network adds to them and is supervised by images, so
    what lies outside would first have to be undone. Sizes are clamped to [1e-6, 10] m. Features are what a file says of
    a Gaussian and of its neighbours, relative to the nearest vertex of the body in the rest pose's axes.

    Raises:
        UserError: there is no folder, or no .ply in it, or the transform that all subjects share is missing or wrong.
    """

    views: int | None = None
    one_core: bool = True

    def __init__(self, config: PlyConfig) -> None:
        if config.folder is None or not config.folder.is_dir():
            found = "none" if config.folder is None else config.folder
            expected = "expected a folder of .ply files"
            raise UserError(f"backbone ply: {expected}, found {found}: give --backbone.ply.folder DIR")
        self.config, self.folder = config, config.folder
        suffixes = {".ply"} if config.transform is None else {".ply", Path(config.transform).suffix}
        files = sorted(name for suffix in suffixes for name in _files(self.folder, suffix))
        if not any(name.endswith(".ply") for name in files):
            expected = "expected a folder of .ply files"
            raise UserError(f"{self.folder}: backbone ply: {expected}, found none: give --backbone.ply.folder DIR")
        if config.transform is not None and "{" not in config.transform:
            read_similarity(self.folder / config.transform)  # now, rather than after an hour
        states = [(name, state.st_size, state.st_mtime_ns) for name in files for state in [(self.folder / name).stat()]]
        text = f"{_VERSION} {replace(config, folder=self.folder.resolve())} {states}"
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._sizes = {name: size for name, size, _ in states}
        self.feature_names = tuple(_named())

    @property
    def feature_dim(self) -> int:
        """C."""
        return len(self.feature_names)

    @property
    def digest(self) -> str:
        """Hash of the version, the configuration, and the names, sizes and times of the files when it was made."""
        return self._digest

    @property
    def contents(self) -> str:
        """Hash of what a copy keeps: as `digest`, but for the folder and times, and with the ends of some files."""
        text = f"{_VERSION} {replace(self.config, folder=None)} {self._sizes}"
        total = hashlib.sha256(text.encode(errors="surrogateescape"))
        plys = [name for name in self._sizes if name.endswith(".ply")]
        for name in (*plys[:: len(plys) // _SAMPLED + 1], *sorted(self._sizes.keys() - plys)):
            with (self.folder / name).open("rb") as file:
                file.seek(max(0, self._sizes[name] - _SAMPLE))
                total.update(file.read())
        return total.hexdigest()[:16]

    def lacking(self, subject: str, frame: int) -> str | None:
        """The frame's file, where it is missing."""
        if os.path.isfile(self._path(subject, frame)):  # False also where a subject makes the name too long
            return None
        return f"no file of its Gaussians {self.folder / self.config.pattern}, see --backbone.ply.pattern"

    @torch.no_grad()
    def __call__(self, moment: Moment) -> Gaussians:
        """Gaussians in the world with features [M, C], float32, on the CPU.

        Raises:
            UserError: the frame's file or the transform is missing or wrong, or the Gaussians are far from the body.
        """
        config = self.config
        path = self._path(moment.subject, moment.frame)
        if not path.is_file():
            wanted = f"frame {moment.frame} of {moment.subject}"
            raise UserError(f"{path}: expected the Gaussians of {wanted}, found none: see --backbone.ply.pattern")
        gaussians = _most_opaque(read_ply(path), config.keep)
        if config.transform is not None:
            similarity = read_similarity(self.folder / config.transform.format(subject=moment.subject))
            gaussians = move_gaussians(gaussians, similarity)
        gaussians = replace(gaussians, scales=gaussians.scales.clamp(*_SIZES), colors=gaussians.colors.clamp(0, 1))
        vertices, vertex_transforms = moment.vertices.double().cpu(), moment.vertex_transforms.double().cpu()
        local = localise(gaussians.means.double(), vertices, vertex_transforms)
        away = float(local.offsets.norm(dim=1).median())
        if away > _ASTRAY:
            expected = f"expected Gaussians on the body, found half of them more than {away:.3g} m away from it"
            raise UserError(f"{path}: {expected}: see --backbone.ply.transform")
        return replace(gaussians, features=_features(gaussians, local).float())

    def _path(self, subject: str, frame: int) -> Path:
        return self.folder / self.config.pattern.format(subject=subject, frame=frame)


def read_similarity(path: Path) -> Tensor:
    """A 4x4 matrix from a text file, rows of numbers, # before comments. [4, 4] float64

    Raises:
        UserError: no such file, not 4x4 numbers, or no similarity: [s R, t; 0, 1] with a rotation R and s > 0.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
        matrix = np.loadtxt([line for line in lines if line.partition("#")[0].strip()] or ["0"], ndmin=2)
    except OSError as error:
        raise UserError(f"{path}: expected a 4x4 matrix, found none ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: expected a 4x4 matrix ({str(error).partition(';')[0]})") from None
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise UserError(f"{path}: expected a 4x4 matrix of finite numbers, found {' by '.join(map(str, matrix.shape))}")
    if not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise UserError(f"{path}: expected 0 0 0 1 as the last row, found {' '.join(f'{x:g}' for x in matrix[3])}")
    lengths = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    proper = np.linalg.det(matrix[:3, :3]) > 0
    if not proper or lengths[0] > 1.001 * lengths[2]:
        mirrored = "" if proper else ", without a positive determinant"
        found = f"singular values {', '.join(f'{x:.6g}' for x in lengths)}{mirrored}"
        raise UserError(f"{path}: expected a rotation times one scale in the upper left 3x3, found {found}")
    return torch.from_numpy(matrix)


def move_gaussians(gaussians: Gaussians, similarity: Tensor) -> Gaussians:
    """Gaussians [M] under x -> s R x + t: mu' = s R mu + t, R' = R R_m, sigma' = s sigma. Features stay.

    Args:
        gaussians: with colours [M, D]; harmonics would have to rotate as well.
        similarity: [4, 4] the matrix [s R, t; 0, 1].

    Raises:
        ValueError: colours are harmonics.
    """
    if gaussians.colors.ndim != 2:
        raise ValueError(f"move_gaussians: colors: expected [M, D], found {tuple(gaussians.colors.shape)}")
    linear, shift = similarity[:3, :3].double(), similarity[:3, 3].double()
    scale = linear.det() ** (1 / 3)
    rotation = matrix_to_quaternion(polar_rotation(linear / scale))
    kind = gaussians.means.dtype
    return replace(
        gaussians,
        means=(gaussians.means.double() @ linear.T + shift).to(kind),
        quats=quaternion_multiply(rotation.expand_as(gaussians.quats), gaussians.quats.double()).to(kind),
        scales=(gaussians.scales * scale).to(kind),
    )


def _most_opaque(gaussians: Gaussians, count: int) -> Gaussians:
    """The `count` Gaussians of highest opacity in the order they were in; of equal ones the first."""
    if not 0 < count < len(gaussians):
        return gaussians
    order = gaussians.opacities.sort(descending=True, stable=True).indices
    return gaussians[order[:count].sort().values]


def _features(gaussians: Gaussians, local: Local) -> Tensor:
    """[M, C] in the order of `feature_names`, scaled to about 1; float64."""
    means, quats, scales, opacities, colors = (
        tensor.double()
        for tensor in (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors)
    )
    count = min(_NEIGHBOURS, len(means))
    _, found = KDTree(means.numpy()).query(means.numpy(), count)
    near = torch.from_numpy(found.reshape(-1, count))
    weights = opacities[near] + 1e-6  # a mean even where all is transparent
    color_near = (weights[..., None] * colors[near]).sum(1) / weights.sum(1, keepdim=True)
    rotation = local.quats(quats)
    normal = _axis(rotation, scales.argmin(1))
    normal = torch.where((normal * local.offsets).sum(1, keepdim=True) < 0, -normal, normal)
    columns = {
        "offset": (local.offsets / 0.05).clamp(-_FARTHEST, _FARTHEST),
        "rotation": rotation,
        "opacity": opacities[:, None],
        "size": (scales / 0.02).log(),
        "color": (colors - 0.5) / 0.25,
        "color_near": (color_near - 0.5) / 0.25,
        "normal": normal,
    }
    return torch.cat([columns[name] for name, _ in _FEATURES], 1)


def _axis(quats: Tensor, number: Tensor) -> Tensor:
    """The axis of that number [M] of each orientation [M, 4]: a column of its rotation matrix, q e q*. [M, 3]"""
    axis = torch.zeros_like(quats).scatter_(1, number[:, None] + 1, 1.0)
    inverse = quats * quats.new_tensor([1, -1, -1, -1])
    return quaternion_multiply(quaternion_multiply(quats, axis), inverse)[:, 1:]


def _named() -> Iterator[str]:
    for name, width in _FEATURES:
        yield from ([name] if width == 1 else [f"{name}_{i}" for i in range(width)])


def _files(folder: Path, suffix: str) -> list[str]:
    """Names of the files in a folder, however deep and behind links, that end so."""
    found = glob.glob(f"**/*{glob.escape(suffix)}", root_dir=folder, recursive=True, include_hidden=True)
    return [name for name in found if (folder / name).is_file()]


def _fits(pattern: str, allowed: set[str], needed: set[str]) -> bool:
    """Whether a pattern names a path within a folder by those fields and no others."""
    try:
        fields = [(name, form or "") for _, name, form, _ in Formatter().parse(pattern) if name is not None]
        if not needed <= {name for name, _ in fields} <= allowed or any(_WIDE.search(form) for _, form in fields):
            return False
        example = Path(pattern.format(subject="someone", frame=0))
    except (ValueError, LookupError):
        return False
    short = all(len(os.fsencode(part)) <= _LONGEST_NAME for part in example.parts)
    return short and not example.is_absolute() and ".." not in example.parts
