"""SuperSplat's compressed .ply: sixteen bytes a Gaussian, between the least and the most of its chunk of 256."""

from __future__ import annotations

import numpy as np

from hgg_pyg.io.ply import Ply
from hgg_pyg.types import UserError

PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_CHUNK = 256
_Y0 = 0.28209479177387814  # the constant harmonic, 1 / (2 sqrt(pi))
_AXES = ("x", "y", "z")
_THREE = ((21, 11), (11, 10), (0, 11))  # shift and bits of three numbers in 32 bits
_FOUR = ((24, 8), (16, 8), (8, 8), (0, 8))


def is_packed(ply: Ply) -> bool:
    """Whether a file is of this kind."""
    vertex = ply.element("vertex")
    return vertex is not None and set(PACKED) <= set(vertex.names)


def unpack(ply: Ply) -> dict[str, np.ndarray]:
    r"""The properties of an uncompressed file. [M] float64 by name

    .. math:: x = a_c + (b_c - a_c) \, n / (2^k - 1)

    for n the k bits of a number in `packed_*` and :math:`[a_c, b_c]` what `chunk` says of the chunk c that the Gaussian
    is in: places, logarithms of sizes, and colours where it has `min_r` and so on. The fourth number in
    `packed_color` is the opacity itself. `packed_rotation` has two bits for which part of the quaternion wxyz is the
    largest, which is not stored, and ten for each other part, from -1/sqrt(2) to 1/sqrt(2). Harmonics, where there is
    an element `sh`, are bytes from -4 to 4.

    Raises:
        UserError: the file is cut off, has too few chunks, or holds no rotation.
    """
    wanted = [name for name in ("chunk", "vertex", "sh") if ply.element(name) is not None]
    tables = ply.tables(wanted)
    vertex, chunks = tables["vertex"], tables.get("chunk", np.empty(0, [("x", "f4")]))
    ends = [f"{end}_{name}" for name in (*_AXES, *(f"scale_{axis}" for axis in _AXES)) for end in ("min", "max")]
    if lacking := [name for name in ends if name not in (chunks.dtype.names or ())]:
        raise _damaged(ply, f"the properties {', '.join(lacking[:3])} of chunk", "none")
    if len(chunks) * _CHUNK < len(vertex):
        raise _damaged(ply, f"a chunk for each {_CHUNK} of {len(vertex)} Gaussians", str(len(chunks)))
    chunk = chunks[np.arange(len(vertex)) // _CHUNK]

    def between(name: str, share: np.ndarray) -> np.ndarray:
        if f"min_{name}" not in (chunks.dtype.names or ()):
            return share
        least, most = (chunk[f"{end}_{name}"].astype(np.float64) for end in ("min", "max"))
        return least * (1 - share) + most * share

    columns = {}
    for axis, share in zip(_AXES, _shares(vertex["packed_position"], _THREE), strict=True):
        columns[axis] = between(axis, share)
    for index, share in enumerate(_shares(vertex["packed_scale"], _THREE)):
        columns[f"scale_{index}"] = between(f"scale_{_AXES[index]}", share)
    *colors, opacity = _shares(vertex["packed_color"], _FOUR)
    for index, share in enumerate(colors):
        columns[f"f_dc_{index}"] = (between("rgb"[index], share) - 0.5) / _Y0
    with np.errstate(divide="ignore"):
        columns["opacity"] = np.log(opacity) - np.log1p(-opacity)  # infinite where it is 0 or 1
    for index, part in enumerate(_rotations(ply, vertex["packed_rotation"]).T):
        columns[f"rot_{index}"] = part
    harmonics = tables.get("sh")
    if harmonics is not None:
        if len(harmonics) != len(vertex):
            raise _damaged(ply, f"{len(vertex)} rows of sh", str(len(harmonics)))
        columns |= {name: harmonics[name] * (8 / 255) - 4.0 for name in harmonics.dtype.names or ()}
    return columns


def _shares(packed: np.ndarray, fields: tuple[tuple[int, int], ...]) -> list[np.ndarray]:
    """Numbers of so many bits as shares of the largest. [M] -> [M] for each field"""
    words = packed.astype(np.int64)
    return [(words >> shift & (2**bits - 1)) / (2**bits - 1) for shift, bits in fields]


def _rotations(ply: Ply, packed: np.ndarray) -> np.ndarray:
    """Quaternions wxyz. [M, 4]"""
    parts = (np.stack(_shares(packed, ((20, 10), (10, 10), (0, 10))), 1) - 0.5) * 2**0.5
    square = 1 - (parts**2).sum(1)
    if (square < 0).any():
        found = f"longer ones in {int((square < 0).sum())} of {len(parts)} Gaussians"
        raise _damaged(ply, "quaternions of length 1 in packed_rotation", found)
    quats = np.empty((len(parts), 4))
    largest = packed.astype(np.int64) >> 30
    for index in range(4):  # the other three keep their order around it
        rows = largest == index
        quats[rows, index] = square[rows] ** 0.5
        quats[np.ix_(rows, [i for i in range(4) if i != index])] = parts[rows]
    return quats


def _damaged(ply: Ply, expected: str, found: str) -> UserError:
    return UserError(f"{ply.path}: a compressed .ply: expected {expected}, found {found}")
