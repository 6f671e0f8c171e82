"""EasyMocap's intri.yml and extri.yml: K_NAME, dist_NAME; R_NAME (Rodrigues), Rot_NAME (matrix), T_NAME.

World to camera, OpenCV's axes, the middle of the first pixel is 0, metres. https://chingswy.github.io/easymocap-public-doc
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hgg_pyg.data.calibration import Entry
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.calibrations.registry import CalibrationFormat
from hgg_pyg.prepare.calibrations.storage import read_storage
from hgg_pyg.prepare.calibrations.values import counted_from_zero, rotation
from hgg_pyg.types import UserError

_HALVES = ("intri", "extri")


def claims(files: Sequence[Path]) -> list[Path]:
    """Files called [...]intri.yml or [...]extri.yml."""
    return [path for path in files if path.suffix.lower() in (".yml", ".yaml") and path.stem.lower().endswith(_HALVES)]


def read(files: Sequence[Path]) -> list[Entry]:
    """The cameras that the intrinsics name.

    Raises:
        UserError: one of the two files is missing, a camera is not in both, or as `numbers`.
    """
    found = {half: [path for path in files if path.stem.lower().endswith(half)] for half in _HALVES}
    for half, other in (_HALVES, _HALVES[::-1]):
        if not found[half] and found[other]:  # one was named: the other stands beside it
            beside = found[other][0]
            stem = beside.stem[: -len(other)] + half
            found[half] = [path for path in [beside.with_name(stem + beside.suffix)] if path.is_file()]
    for half, paths in found.items():
        if len(paths) != 1:
            listed = ", ".join(map(str, paths or files))
            raise UserError(f"{shown(listed, 300)}: expected one {half}.yml, found {len(paths) or 'none'}")
    (intrinsics,), (extrinsics,) = found["intri"], found["extri"]
    inner, outer = read_storage(intrinsics), read_storage(extrinsics)
    return [_entry(name, intrinsics, inner, extrinsics, outer) for name in _names(intrinsics, inner)]


def _names(path: Path, content: dict[str, Any]) -> list[str]:
    listed = content.get("names")
    if isinstance(listed, list) and listed:
        return [str(name) for name in listed]
    names = [key.removeprefix("K_") for key in content if key.startswith("K_")]
    if not names:
        raise UserError(f"{path}: expected K_NAME of each camera, found {shown(', '.join(content), 200) or 'nothing'}")
    return names


def _entry(name: str, intrinsics: Path, inner: dict[str, Any], extrinsics: Path, outer: dict[str, Any]) -> Entry:
    where = f"{intrinsics.parent / '{intri,extri}.yml'}: camera '{name}'"
    K, T = f"K_{name}", f"T_{name}"
    R = next((key for key in (f"R_{name}", f"Rot_{name}") if outer.get(key) is not None), f"R_{name}")
    for path, content, key in ((intrinsics, inner, K), (extrinsics, outer, R), (extrinsics, outer, T)):
        if content.get(key) is None:
            raise UserError(f"{path}: camera '{name}': key '{key}' is missing; found {shown(', '.join(content), 300)}")
    distortion = next((inner[key] for key in (f"dist_{name}", f"D_{name}") if inner.get(key) is not None), ())
    width, height = inner.get(f"W_{name}"), inner.get(f"H_{name}")
    known = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0  # -1: not known
    return Entry(
        name,
        where,
        counted_from_zero(where, K, inner[K]),
        rotation(where, R, outer[R]),
        outer[T],
        distortion,
        (width, height) if known else None,
        (K, R, T),
    )


FORMAT = CalibrationFormat(
    name="easymocap",
    summary="EasyMocap's intri.yml and extri.yml",
    unit="m",
    claims=claims,
    read=read,
)
