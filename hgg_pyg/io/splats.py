"""Gaussians on disk: the .ply of 3D Gaussian Splatting, which other per-frame networks write and viewers read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hgg_pyg.io.files import write_atomically
from hgg_pyg.io.limits import SPLAT_FILE, read_within
from hgg_pyg.io.packed_splats import is_packed, unpack
from hgg_pyg.io.ply import Ply, parse_ply
from hgg_pyg.types import Gaussians, UserError

_Y0 = 0.28209479177387814  # the constant harmonic, 1 / (2 sqrt(pi))
_FAINTEST = 1e-6  # opacities are written this far from 0 and 1, where their logits would be infinite
_SMALLEST = torch.finfo(torch.float32).tiny
_MEANS, _COLORS = ("x", "y", "z"), ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALES, _QUATS = ("scale_0", "scale_1", "scale_2"), ("rot_0", "rot_1", "rot_2", "rot_3")
_RESTS = (0, 9, 24, 45)  # how many f_rest_* degrees 0 to 3 have


def read_ply(path: Path, sh: bool = False) -> Gaussians:
    """Gaussians of a 3DGS .ply, ASCII, binary or as SuperSplat compresses it. [M] float32, in the unit of the file

    Opacities are sigmoid(opacity); scales exp(scale_*), at least the smallest normal float32; rot_* is wxyz and is
    normalised. Colours are 0.5 + f_dc_* / (2 sqrt(pi)); they are not clipped to [0, 1]. Other properties and elements
    are passed over.

    Args:
        path: the file.
        sh: give colours as coefficients of spherical harmonics [M, K, 3], those in f_rest_* included, K = 1, 4, 9 or
            16, which `render` takes with `sh_degree`.

    Raises:
        UserError: no such file, not a .ply, cut off, properties missing (a mesh, 2D Gaussians), no Gaussians,
            NaN or infinite numbers but for logits and logarithms of 0, rotations that are all zeros.
    """
    ply = parse_ply(path, read_within(path, SPLAT_FILE, "a 3DGS .ply file"))
    columns = _columns(ply)
    rest = sum(re.fullmatch(r"f_rest_\d+", name) is not None for name in columns) if sh else 0
    if rest not in _RESTS:
        raise UserError(f"{path}: vertex: expected {', '.join(map(str, _RESTS))} properties f_rest_*, found {rest}")
    names = [*_MEANS, *_COLORS, *(f"f_rest_{i}" for i in range(rest)), "opacity", *_SCALES, *_QUATS]
    missing = [name for name in names if name not in columns]
    if missing:
        raise _missing(ply, missing, list(columns))
    table = torch.from_numpy(np.stack([columns[name].astype(np.float64) for name in names], 1))
    means, colors, harmonics, opacities, scales, quats = table.split([3, 3, rest, 1, 3, 4], 1)
    # The logits of opacities 0 and 1 are infinite, and so is the logarithm of a size of 0.
    _check_numbers(path, names, torch.cat([table[:, :-8], opacities.sigmoid(), scales.exp(), quats], 1), quats)
    if sh:
        colors = torch.cat([colors[:, None], harmonics.unflatten(1, (3, rest // 3)).mT], 1)
    return Gaussians(
        means=means.float(),
        quats=normalize(quats, dim=1, eps=0).float(),
        scales=scales.exp().float().clamp_min(_SMALLEST),
        opacities=opacities[:, 0].sigmoid().float(),
        colors=colors.float() if sh else (0.5 + _Y0 * colors).float(),
    )


def write_ply(path: Path, gaussians: Gaussians, comments: Sequence[str] = ()) -> None:
    """Write Gaussians [M] as a 3DGS .ply, binary little-endian float32, all of it or nothing. Features stay behind.

    Colours are [M, 3], or harmonics [M, K, 3] with K = 1, 4, 9 or 16. Opacities are brought into [1e-6, 1 - 1e-6].
    Comments are a line each, letters beyond ASCII as Python writes them: \\xe9.

    Raises:
        ValueError: other shapes, no Gaussians, NaN or infinite numbers, scales that are not positive, rotations that
            are all zeros.
    """
    means, quats, scales, opacities, colors = (
        getattr(gaussians, name).detach().double().cpu() for name in ("means", "quats", "scales", "opacities", "colors")
    )
    if means.ndim != 2 or len(means) == 0:
        raise ValueError(f"write_ply: means: expected [M, 3], M > 0, found {tuple(means.shape)}")
    if colors.shape[-1] != 3 or (colors.ndim == 3 and 3 * (colors.shape[1] - 1) not in _RESTS):
        raise ValueError(f"write_ply: colors: expected [M, 3] or [M, 1|4|9|16, 3], found {tuple(colors.shape)}")
    if not (scales > 0).all():
        raise ValueError(f"write_ply: scales: expected positive numbers, found {float(scales.min())}")
    if (quats == 0).all(1).any():
        raise ValueError("write_ply: quats: expected rotations, found zeros")
    harmonics = colors if colors.ndim == 3 else ((colors - 0.5) / _Y0)[:, None]
    rest = harmonics[:, 1:].mT.flatten(1)  # all of red, then of green, then of blue
    logits = opacities.clamp(_FAINTEST, 1 - _FAINTEST).logit()[:, None]
    rotations = normalize(quats, dim=1, eps=0)
    parts = (means, torch.zeros_like(means), harmonics[:, 0], rest, logits, scales.log(), rotations)
    rests = (f"f_rest_{i}" for i in range(rest.shape[1]))
    names = (*_MEANS, "nx", "ny", "nz", *_COLORS, *rests, "opacity", *_SCALES, *_QUATS)
    table = torch.cat(parts, 1).float()
    if not table.isfinite().all():
        raise ValueError("write_ply: expected finite numbers, found NaN or infinite ones")
    said = (" ".join(comment.encode("ascii", "backslashreplace").decode().split()) for comment in comments)
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {line}" for line in said)]
    lines.append(f"element vertex {len(means)}")
    header = "\n".join([*lines, *(f"property float {name}" for name in names), "end_header", ""])
    data = table.numpy().astype("<f4").tobytes()
    write_atomically(path, lambda temporary: temporary.write_bytes(header.encode("ascii") + data))


def _columns(ply: Ply) -> dict[str, np.ndarray]:
    """The properties of the Gaussians by name, as the uncompressed format has them. [M]"""
    vertex = ply.element("vertex")
    if vertex is None:
        found = ", ".join(element.name for element in ply.elements[:6]) or "none"
        raise UserError(f"{ply.path}: header: expected the element vertex, found {found}")
    if vertex.rows < 1:
        raise UserError(f"{ply.path}: vertex: expected Gaussians, found {vertex.rows}")
    if is_packed(ply):
        return unpack(ply)
    if lacking := [name for name in (*_MEANS, *_COLORS, "opacity", *_SCALES, *_QUATS) if name not in vertex.names]:
        raise _missing(ply, lacking, list(vertex.names))  # before rows are looked at
    rows = ply.tables(("vertex",))["vertex"]
    return {name: rows[name] for name in vertex.names}


def _missing(ply: Ply, missing: list[str], found: list[str]) -> UserError:
    """What properties are not there, and what the file is instead, where that is known."""
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    listed = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
    faces = ply.element("face")
    if missing == ["scale_2"]:
        kind = ": these are 2D Gaussians, which are drawn in another way"
    elif faces is not None and faces.rows and "opacity" in missing:
        kind = f": this is a mesh of {faces.rows} faces"
    else:
        kind = ""
    return UserError(
        f"{ply.path}: vertex: expected properties {', '.join(missing[:3])}{more}, found {listed or 'none'}{kind}"
    )


def _check_numbers(path: Path, names: list[str], table: Tensor, quats: Tensor) -> None:
    bad = ~table.float().isfinite()
    if bad.any():
        first = names[int(bad.any(0).nonzero()[0])]
        share = f"{int(bad.any(1).sum())} of {len(bad)} Gaussians, first in {first}"
        raise UserError(f"{path}: expected finite numbers, found NaN or infinite ones in {share}")
    zero = (quats == 0).all(1)
    if zero.any():
        raise UserError(f"{path}: rot_*: expected rotations, found zeros in {int(zero.sum())} of {len(zero)} Gaussians")
