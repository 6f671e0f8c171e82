"""Gaussians on disk: the .ply of 3D Gaussian Splatting, which other per-frame networks write and viewers read."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hgg_pyg.io.files import write_atomically
from hgg_pyg.types import Gaussians, UserError

_Y0 = 0.28209479177387814  # the constant harmonic, 1 / (2 sqrt(pi))
_FAINTEST = 1e-6  # opacities are written this far from 0 and 1, where their logits would be infinite
_SMALLEST = torch.finfo(torch.float32).tiny
_MEANS, _COLORS = ("x", "y", "z"), ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALES, _QUATS = ("scale_0", "scale_1", "scale_2"), ("rot_0", "rot_1", "rot_2", "rot_3")
_RESTS = (0, 9, 24, 45)  # how many f_rest_* degrees 0 to 3 have
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip


def read_ply(path: Path, sh: bool = False) -> Gaussians:
    """Gaussians of a 3DGS .ply, ASCII or binary in either byte order. [M] float32, in the unit of the file

    Opacities are sigmoid(opacity); scales exp(scale_*), at least the smallest normal float32; rot_* is wxyz and is
    normalised. Colours are 0.5 + f_dc_* / (2 sqrt(pi)); they are not clipped to [0, 1]. Other properties, and elements
    after the vertices, are passed over.

    Args:
        path: the file.
        sh: give colours as coefficients of spherical harmonics [M, K, 3], those in f_rest_* included, K = 1, 4, 9 or
            16, which `render` takes with `sh_degree`.

    Raises:
        UserError: no such file, not a .ply, cut off, properties missing, no Gaussians, NaN or infinite numbers,
            rotations that are all zeros.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: expected a 3DGS .ply file, found none ({error.strerror})") from None
    encoding, count, properties, start = _header(path, content)
    rest = sum(re.fullmatch(r"f_rest_\d+", name) is not None for name, _ in properties) if sh else 0
    if rest not in _RESTS:
        raise UserError(f"{path}: vertex: expected {', '.join(map(str, _RESTS))} properties f_rest_*, found {rest}")
    names = [*_MEANS, *_COLORS, *(f"f_rest_{i}" for i in range(rest)), "opacity", *_SCALES, *_QUATS]
    missing = [name for name in names if name not in dict(properties)]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        found = ", ".join([name for name, _ in properties][:6]) + (", ..." if len(properties) > 6 else "")
        raise UserError(f"{path}: vertex: expected properties {', '.join(missing[:3])}{more}, found {found or 'none'}")
    if count < 1:
        raise UserError(f"{path}: vertex: expected Gaussians, found {count}")
    vertices = _vertices(path, content[start:], encoding, count, properties)
    table = torch.from_numpy(np.stack([vertices[name].astype(np.float64) for name in names], 1))
    means, colors, harmonics, opacities, scales, quats = table.split([3, 3, rest, 1, 3, 4], 1)
    _check_numbers(path, names, torch.cat([table[:, :-7], scales.exp(), quats], 1), quats)
    if sh:
        colors = torch.cat([colors[:, None], harmonics.unflatten(1, (3, rest // 3)).mT], 1)
    return Gaussians(
        means=means.float(),
        quats=normalize(quats, dim=1, eps=0).float(),
        scales=scales.exp().float().clamp_min(_SMALLEST),
        opacities=opacities[:, 0].sigmoid().float(),
        colors=colors.float() if sh else (0.5 + _Y0 * colors).float(),
    )


def write_ply(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians [M] as a 3DGS .ply, binary little-endian float32, all of it or nothing. Features stay behind.

    Colours are [M, 3], or harmonics [M, K, 3] with K = 1, 4, 9 or 16. Opacities are brought into [1e-6, 1 - 1e-6].

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
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(means)}"]
    header = "\n".join([*lines, *(f"property float {name}" for name in names), "end_header", ""])
    data = table.numpy().astype("<f4").tobytes()
    write_atomically(path, lambda temporary: temporary.write_bytes(header.encode("ascii") + data))


def _header(path: Path, content: bytes) -> tuple[str, int, list[tuple[str, str]], int]:
    """The encoding, the number of vertices, their properties with numpy's types, and where the data begin."""
    end = re.search(rb"\nend_header[ \t]*\r?\n", content)
    if not content.startswith(b"ply") or end is None:
        raise UserError(f"{path}: expected a .ply file with a whole header, found {content[:16]!r}...")
    encoding, elements, count, properties = "", list[str](), 0, list[tuple[str, str]]()
    for line in content[: end.start()].decode("ascii", "replace").splitlines()[1:]:
        try:
            match line.split():
                case ["format", name, _] if name in _ORDERS:
                    encoding = name
                case ["element", name, number]:
                    count = count if elements else int(number)
                    elements.append(name)
                case ["property", kind, name] if elements == ["vertex"]:
                    properties.append((name, _ORDERS[encoding] + _TYPES[kind]))
                case ["property", *_] if elements and elements != ["vertex"]:
                    pass
                case [] | ["comment" | "obj_info", *_]:
                    pass
                case _:
                    raise ValueError
        except (ValueError, KeyError):
            expected = "expected format, element or a property that is one number"
            raise UserError(f"{path}: header: {expected}, found {line[:60]!r}") from None
    if elements[:1] != ["vertex"]:
        raise UserError(f"{path}: header: expected the element vertex first, found {', '.join(elements) or 'none'}")
    if len(dict(properties)) < len(properties):
        raise UserError(f"{path}: header: expected each property of vertex once, found one twice")
    return encoding, count, properties, end.end()


def _vertices(path: Path, data: bytes, encoding: str, count: int, properties: list[tuple[str, str]]) -> np.ndarray:
    """The vertices as an array with a field for each property. [M]"""
    kind = np.dtype(properties)
    if encoding != "ascii":
        if len(data) < count * kind.itemsize:
            raise UserError(f"{path}: expected {count * kind.itemsize} bytes of vertices, found {len(data)}: cut off")
        return np.frombuffer(data, kind, count)
    lines = [line for line in data.decode("ascii", "replace").splitlines() if line.strip()][:count]
    if len(lines) < count:
        raise UserError(f"{path}: expected {count} lines of vertices, found {len(lines)}: cut off")
    try:
        return np.loadtxt(lines, [(name, "f8") for name, _ in properties], comments=None, ndmin=1)
    except ValueError as error:
        reason = str(error).partition(";")[0]
        raise UserError(f"{path}: expected {len(properties)} numbers per vertex ({reason})") from None


def _check_numbers(path: Path, names: list[str], table: Tensor, quats: Tensor) -> None:
    bad = ~table.float().isfinite()
    if bad.any():
        first = names[int(bad.any(0).nonzero()[0])]
        share = f"{int(bad.any(1).sum())} of {len(bad)} Gaussians, first in {first}"
        raise UserError(f"{path}: expected finite numbers, found NaN or infinite ones in {share}")
    zero = (quats == 0).all(1)
    if zero.any():
        raise UserError(f"{path}: rot_*: expected rotations, found zeros in {int(zero.sum())} of {len(zero)} Gaussians")
