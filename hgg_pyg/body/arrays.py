"""The arrays of a body file: SMPL, SMPL-H and SMPL-X as .npz or .pkl, read without running what is in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.io.files import write_atomically
from hgg_pyg.io.npz import load_npz
from hgg_pyg.io.pickles import CHUMPY, NUMPY, SCIPY, as_array, load_pickle
from hgg_pyg.types import UserError

KINDS = {24: "smpl", 52: "smplh", 55: "smplx"}
"""What a body is called by its number of joints."""

_HANDS = {"hands_componentsl": (45, 45), "hands_componentsr": (45, 45), "hands_meanl": (45,), "hands_meanr": (45,)}
_REQUIRED = ("v_template", "f", "weights", "J_regressor", "kintree_table", "shapedirs")
_COMPACT = ("jr_row", "jr_col", "jr_val", "w_idx", "w_val")
_KEYS = frozenset((*_REQUIRED, "posedirs", *_HANDS, *_COMPACT, "is_open"))
_SMPLX_SPLITS = {400: 300, 20: 10}  # all directions of SMPL-X files: how many of them are of shape


@dataclass(frozen=True)
class BodyArrays:
    """What a body is made of; N vertices, F faces, J joints, B shape and E expression directions."""

    v_template: np.ndarray  # [N, 3] metres
    f: np.ndarray  # [F, 3]
    weights: np.ndarray  # [N, J] rows sum to 1
    J_regressor: np.ndarray  # [J, N]
    kintree_table: np.ndarray  # [2, J] row 0 holds the parents, the root's is not used
    shapedirs: np.ndarray  # [N, 3, B]
    posedirs: np.ndarray  # [N, 3, (J-1)*9], or [N, 3, 0] where all are zero
    exprdirs: np.ndarray  # [N, 3, E]; E is 0 but for SMPL-X
    hands_componentsl: np.ndarray | None = None  # [45, 45] rows are principal poses of the left hand's 15 joints
    hands_componentsr: np.ndarray | None = None  # [45, 45]
    hands_meanl: np.ndarray | None = None  # [45] radians
    hands_meanr: np.ndarray | None = None  # [45]
    is_open: bool = False  # our own stand-ins, in whose shape and pose space no licensed body's parameters are

    @property
    def kind(self) -> str:
        """smpl, smplh or smplx, by the number of joints; "other" for any other skeleton."""
        return KINDS.get(self.weights.shape[1], "other")

    def digest(self) -> str:
        """A short hash of all arrays: what caches that depend on the body are keyed by."""
        total = hashlib.sha256()
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "posedirs" and not value.size:
                vertices, joints = self.weights.shape
                total.update(bytes(4 * vertices * 3 * (joints - 1) * 9))  # as the zeros of a file that spells them out
            elif isinstance(value, np.ndarray):
                total.update(np.ascontiguousarray(value).tobytes())
        return total.hexdigest()[:16]


def read_body(path: Path) -> BodyArrays:
    """Read and check a body file: .npz, or any other name as a pickle, through an allow-list of names.

    Keys that no field of `BodyArrays` is made of are not looked at. The directions in SMPL-X's `shapedirs` are divided
    as the smplx package does: 300 of shape and 100 of expression in files that have 400, else the first 10 and the
    next 10.

    Raises:
        UserError: missing or unreadable, a key is missing, a shape does not fit, a number is not finite, or the pickle
            holds anything but arrays.
    """
    raw = _read_npz(path) if path.suffix == ".npz" else _read_pickle(path)
    _unpack(path, raw)
    for name in _REQUIRED:
        if name not in raw:
            raise UserError(f"{path}: expected the key {name!r}; found {', '.join(sorted(raw)) or 'no keys of a body'}")
        if not raw[name].ndim:
            raise UserError(f"{path}: {name}: expected an array, found a single number")
    vertices, joints = len(raw["v_template"]), raw["kintree_table"].shape[-1]
    if joints not in KINDS:
        names = "24 joints (SMPL), 52 (SMPL-H) or 55 (SMPL-X)"
        raise UserError(f"{path}: kintree_table: expected {names}, found {joints}")
    if raw["shapedirs"].ndim == 2:  # a single direction
        raw["shapedirs"] = raw["shapedirs"][..., None]
    shapes = {
        "v_template": (vertices, 3),
        "f": (len(raw["f"]), 3),
        "weights": (vertices, joints),
        "J_regressor": (joints, vertices),
        "kintree_table": (2, joints),
        "shapedirs": (vertices, 3, raw["shapedirs"].shape[-1]),
        "posedirs": (vertices, 3, (joints - 1) * 9),
        **_HANDS,
    }
    for name, expected in shapes.items():
        if name not in raw:
            continue
        if raw[name].shape != expected:
            raise UserError(f"{path}: {name}: expected the shape {expected}, found {raw[name].shape}")
        if not np.isfinite(raw[name]).all():
            raise UserError(f"{path}: {name}: expected finite numbers, found NaN or Inf")
    _check_indices(path, raw)
    posedirs = raw.get("posedirs")
    if posedirs is None or not posedirs.any():
        posedirs = np.zeros((vertices, 3, 0), np.float32)
    shapedirs, exprdirs = _split(path, raw["shapedirs"], KINDS[joints])
    return BodyArrays(
        **{name: raw[name] for name in _REQUIRED if name != "shapedirs"},
        shapedirs=shapedirs,
        posedirs=posedirs,
        exprdirs=exprdirs,
        **({name: raw[name] for name in _HANDS} if raw.keys() >= _HANDS.keys() else {}),
        is_open="jr_row" in raw or bool(raw.get("is_open", np.array(False)).any()),
    )


def write_body(path: Path, arrays: BodyArrays) -> None:
    """Write an .npz in the format of SMPL's or SMPL-X's own, which `read_body` and the smplx package read.

    The smplx package also wants facial landmarks of SMPL-X, which nothing here uses: it gets the centres of faces that
    follow the head.

    Raises:
        ValueError: the path does not end in .npz, or no file has so many shape and expression directions.
    """
    shape, expression = arrays.shapedirs.shape[-1], arrays.exprdirs.shape[-1]
    if path.suffix != ".npz":
        raise ValueError(f"{path}: expected a name that ends in .npz")
    if arrays.kind == "smplx" and _SMPLX_SPLITS.get(shape + expression) != shape:
        raise ValueError(f"SMPL-X files hold 10 + 10 or 300 + 100 directions, found {shape} + {expression}")
    content: dict[str, Any] = {f.name: getattr(arrays, f.name) for f in fields(arrays)}
    content["shapedirs"] = np.concatenate([arrays.shapedirs, content.pop("exprdirs")], -1)
    if not arrays.posedirs.size:
        vertices, joints = arrays.weights.shape
        content["posedirs"] = np.zeros((vertices, 3, (joints - 1) * 9), np.float32)
    content = {name: value for name, value in content.items() if value is not None}
    if arrays.kind == "smplx":
        content |= _landmarks(arrays)
    write_atomically(path, lambda to: np.savez_compressed(to, **content))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    return _arrays(path, load_npz(path, _KEYS, NUMPY | SCIPY | CHUMPY, "a body file"))


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    content = load_pickle(path, NUMPY | SCIPY | CHUMPY, "a body file")
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dictionary of arrays, found {type(content).__name__}")
    return _arrays(path, {key: value for key, value in content.items() if key in _KEYS})


def _arrays(path: Path, content: dict[str, Any]) -> dict[str, np.ndarray]:
    """Numbers only, floating ones in single precision."""
    arrays = {}
    for key, value in content.items():
        try:
            array = np.asarray(value) if isinstance(value, bool) else as_array(value)
        except ValueError as error:
            raise UserError(f"{path}: {key}: expected an array, found {error}") from None
        if array is None or array.dtype.kind not in "fiub":
            kind = getattr(value if array is None else array, "dtype", type(value).__name__)
            raise UserError(f"{path}: {key}: expected an array of numbers, found {kind}")
        arrays[key] = array.astype(np.float32) if array.dtype.kind == "f" else array
    return arrays


def _unpack(path: Path, raw: dict[str, np.ndarray]) -> None:
    """Undo the compact storage of the default body: sparse triplets, four weights per vertex, half precision."""
    if "jr_row" not in raw:
        return
    try:
        joints, vertices = raw["kintree_table"].shape[1], len(raw["v_template"])
        if joints not in KINDS:
            raise ValueError(f"{joints} joints")
        dense = np.zeros((joints, vertices), np.float32)
        dense[raw["jr_row"], raw["jr_col"]] = raw["jr_val"]
        raw["J_regressor"] = dense
        dense = np.zeros((vertices, joints), np.float64)
        np.put_along_axis(dense, raw["w_idx"].astype(np.int64), raw["w_val"].astype(np.float64), 1)
        raw["weights"] = (dense / dense.sum(1, keepdims=True)).astype(np.float32)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: expected the compact storage of the default body, found it damaged ({error})"
        ) from None


def _check_indices(path: Path, raw: dict[str, np.ndarray]) -> None:
    vertices, joints = raw["weights"].shape
    if raw["f"].size and (raw["f"].min() < 0 or raw["f"].max() >= vertices):
        raise UserError(f"{path}: f: expected vertex ids below {vertices}, found {raw['f'].max()}")
    parents = raw["kintree_table"][0, 1:].astype(np.int64)
    late = np.flatnonzero((parents < 0) | (parents > np.arange(joints - 1)))
    if len(late):
        joint = late[0] + 1
        raise UserError(
            f"{path}: kintree_table: expected each joint's parent before it, "
            f"found {parents[joint - 1]} for joint {joint}"
        )


def _split(path: Path, directions: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Directions of shape and of expression."""
    if kind != "smplx":
        return directions, directions[..., :0]
    if directions.shape[-1] < 20:
        raise UserError(
            f"{path}: shapedirs: expected SMPL-X's 300 + 100 or 10 + 10 directions of shape and expression, "
            f"found {directions.shape[-1]}"
        )
    if directions.shape[-1] < 400:
        return directions[..., :10].copy(), directions[..., 10:20].copy()
    return directions[..., :300].copy(), directions[..., 300:400].copy()


def _landmarks(arrays: BodyArrays) -> dict[str, np.ndarray]:
    """51 fixed and 79 x 17 moving facial landmarks, at the centres of faces that follow the head most."""
    following = np.argsort(-arrays.weights[arrays.f.astype(np.int64)].sum(1)[:, 15], kind="stable")
    return {
        "lmk_faces_idx": following[:51],
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "dynamic_lmk_faces_idx": np.tile(following[51:68], (79, 1)),
        "dynamic_lmk_bary_coords": np.full((79, 17, 3), 1 / 3),
    }
