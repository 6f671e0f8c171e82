"""Body files on disk: the open default body, SMPL .npz and SMPL .pkl, read without running what is in them."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.types import UserError

DEFAULT_BODY = Path(__file__).with_name("default_body.npz")
_NAMES = ("SMPL_NEUTRAL.npz", "SMPL_NEUTRAL.pkl")


@dataclass(frozen=True)
class BodyArrays:
    """The seven arrays that smplx.SMPL needs; N vertices, F faces, J joints, B shape directions."""

    v_template: np.ndarray  # [N, 3] metres
    f: np.ndarray  # [F, 3]
    weights: np.ndarray  # [N, J] rows sum to 1
    J_regressor: np.ndarray  # [J, N]
    kintree_table: np.ndarray  # [2, J]
    shapedirs: np.ndarray  # [N, 3, B]
    posedirs: np.ndarray  # [N, 3, (J-1)*9]

    def digest(self) -> str:
        """A short hash of all arrays: what caches that depend on the body are keyed by."""
        total = hashlib.sha256()
        for field in fields(self):
            total.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return total.hexdigest()[:16]


class _Inert:
    """Stands in for chumpy's classes, which cannot be imported any more: keeps the pickled state, runs nothing."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


class _BodyUnpickler(pickle.Unpickler):
    """Builds arrays only. SMPL pickles come from the web: every other name in them is refused."""

    _ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy.core.numeric", "_frombuffer"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
        }
        | {(module, name) for name in ("csc_matrix", "csr_matrix", "coo_matrix")
           for module in (f"scipy.sparse.{name[:3]}", f"scipy.sparse._{name[:3]}")}
    )  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "chumpy":
            return _Inert
        if (module, name) not in self._ALLOWED:
            raise UserError(f"{module}.{name} is not something a body file may hold")
        if module.startswith("scipy.sparse."):
            import scipy.sparse

            return getattr(scipy.sparse, name)
        return super().find_class(module, name)


def find_body_file(path: Path | None) -> Path:
    """The file to load: `path` itself, SMPL_NEUTRAL.npz/.pkl in it, or the default body for None.

    Raises:
        UserError: the path does not exist or the folder holds no such file.
    """
    if path is None:
        return DEFAULT_BODY
    if path.is_file():
        return path
    for candidate in (path / sub / name for sub in ("", "smpl") for name in _NAMES):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path}: expected an SMPL .npz or .pkl file, or a folder with {' or '.join(_NAMES)}; found none")


def installed_bodies() -> list[Path]:
    """Licensed body files found in the folder that $HGG_BODY_MODELS names."""
    folder = os.environ.get("HGG_BODY_MODELS")
    return sorted(p for name in _NAMES for p in Path(folder).glob(f"**/{name}")) if folder else []


def read_body(path: Path) -> BodyArrays:
    """Read and check a body file (.npz, or .pkl through an allow-list of names).

    Raises:
        UserError: unreadable, a key is missing, a shape does not fit, or the pickle holds anything but arrays.
    """
    raw = _read_npz(path) if path.suffix == ".npz" else _read_pickle(path)
    _unpack(raw)
    missing = [f.name for f in fields(BodyArrays) if f.name not in raw and f.name != "posedirs"]
    if missing:
        raise UserError(f"{path}: expected the key {missing[0]!r}; found {', '.join(sorted(raw)) or 'no keys'}")
    vertices, joints = len(raw["v_template"]), raw["kintree_table"].shape[-1]
    raw.setdefault("posedirs", np.zeros((vertices, 3, (joints - 1) * 9), np.float32))
    shapes = {
        "v_template": (vertices, 3),
        "f": (len(raw["f"]), 3),
        "weights": (vertices, joints),
        "J_regressor": (joints, vertices),
        "kintree_table": (2, joints),
        "shapedirs": (vertices, 3, raw["shapedirs"].shape[-1]),
        "posedirs": (vertices, 3, (joints - 1) * 9),
    }
    for name, expected in shapes.items():
        if raw[name].shape != expected:
            raise UserError(f"{path}: {name}: expected the shape {expected}, found {raw[name].shape}")
        if not np.isfinite(raw[name]).all():
            raise UserError(f"{path}: {name}: expected finite numbers, found NaN or Inf")
    if joints != 24:
        raise UserError(f"{path}: kintree_table: expected SMPL's 24 joints, found {joints}")
    if raw["f"].min() < 0 or raw["f"].max() >= vertices:
        raise UserError(f"{path}: f: expected vertex ids below {vertices}, found {raw['f'].max()}")
    return BodyArrays(**{f.name: raw[f.name] for f in fields(BodyArrays)})


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: expected an .npz body file, found something unreadable ({error})") from None


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            content = _BodyUnpickler(file, encoding="latin1").load()
    except UserError as error:
        raise UserError(f"{path}: refused: {error}") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(f"{path}: expected an SMPL .pkl body file, found something unreadable ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dictionary of arrays, found {type(content).__name__}")
    arrays = {}
    for key, value in content.items():
        value = value.__dict__.get("x") if isinstance(value, _Inert) else value
        value = value.toarray() if hasattr(value, "toarray") else value  # pyright: ignore[reportOptionalMemberAccess]
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            arrays[str(key)] = value
    return arrays


def _unpack(raw: dict[str, np.ndarray]) -> None:
    """Undo the compact storage of the default body: sparse triplets, four weights a vertex, half precision."""
    for key, value in raw.items():
        raw[key] = value.astype(np.float32) if value.dtype.kind == "f" else value
    if "jr_row" in raw:
        dense = np.zeros((raw["kintree_table"].shape[1], len(raw["v_template"])), np.float32)
        dense[raw["jr_row"], raw["jr_col"]] = raw["jr_val"]
        raw["J_regressor"] = dense
    if "w_idx" in raw:
        dense = np.zeros((len(raw["v_template"]), raw["kintree_table"].shape[1]), np.float64)
        np.put_along_axis(dense, raw["w_idx"].astype(np.int64), raw["w_val"].astype(np.float64), 1)
        raw["weights"] = (dense / dense.sum(1, keepdims=True)).astype(np.float32)
