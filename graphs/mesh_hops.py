"""Vertex pairs that lie within a few mesh edges of each other (Eq. 7), cached on disk by topology."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

_FORMAT = b"hgg_pyg mesh hops 2"  # part of every cache key: change it when what is stored changes its meaning
_DIGEST = hashlib.sha256().digest_size  # bytes at the end of a file
_ABANDONED_S = 24 * 3600  # after which no process is writing a file any more

log = logging.getLogger(__name__)


def mesh_hop_edges(faces: Tensor, hops: int, num_vertices: int | None = None, self_loops: bool = False) -> Tensor:
    """All ordered vertex pairs at mesh distance 1 to `hops` (Eq. 7), where an edge of the mesh has length 1.

    The result is symmetric and sorted by target (row 1), then source. A vertex in no face has no edges but its self
    loop. Results are kept in the folder $HGG_CACHE, or ~/.cache/hgg_pyg, each with a digest: what is damaged there is
    made anew, and the log says so. Without a usable cache they are computed.

    Args:
        faces: [F, 3] vertex ids, any integer type.
        hops: largest distance in mesh edges, at least 1.
        num_vertices: N; the largest id in `faces` plus one by default.
        self_loops: also link every vertex to itself.

    Returns:
        [2, E] int64 on the device of `faces`.

    Raises:
        ValueError: `faces` is not [F, 3] integers, an id is negative or not below `num_vertices`, or `hops` < 1.
    """
    num_vertices = _check(faces, hops, num_vertices)
    triangles = faces.detach().cpu().numpy().astype(np.int64)
    folder = _cache_dir()
    if folder is None:
        return torch.from_numpy(_compute(triangles, hops, num_vertices, self_loops)).to(faces.device)
    path = folder / f"mesh_hops_{_cache_key(triangles, hops, num_vertices, self_loops)}.npy"
    edges = _load(path)
    if edges is None:
        edges = _compute(triangles, hops, num_vertices, self_loops)
        _save(path, edges)
    return torch.from_numpy(edges).to(faces.device)


def _check(faces: Tensor, hops: int, num_vertices: int | None) -> int:
    """Validate the arguments and settle the number of vertices."""
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces: expected shape [F, 3], found {list(faces.shape)}")
    if faces.is_floating_point() or faces.is_complex() or faces.dtype == torch.bool:
        raise ValueError(f"faces: expected integers, found {faces.dtype}")
    if hops < 1:
        raise ValueError(f"hops: expected at least 1, found {hops}")
    largest = int(faces.max()) if len(faces) else -1
    if len(faces) and int(faces.min()) < 0:
        raise ValueError(f"faces: expected ids from 0, found {int(faces.min())}")
    if num_vertices is None:
        return largest + 1
    if largest >= num_vertices:
        raise ValueError(f"faces: expected ids below num_vertices = {num_vertices}, found {largest}")
    return num_vertices


def _compute(triangles: np.ndarray, hops: int, num_vertices: int, self_loops: bool) -> np.ndarray:
    """[2, E] pairs from boolean sparse powers of the adjacency: (A + I)^hops holds what lies within `hops`."""
    heads = triangles[:, [0, 1, 2, 1, 2, 0]].ravel()
    tails = triangles[:, [1, 2, 0, 0, 1, 2]].ravel()
    shape = (num_vertices, num_vertices)
    step = sparse.csr_array((np.ones(len(heads), dtype=bool), (heads, tails)), shape=shape)
    step = (step + sparse.eye_array(num_vertices, dtype=bool, format="csr")).tocsr()
    within = step
    for _ in range(hops - 1):
        before, within = within.nnz, within @ step
        if within.nnz == before:  # all of every part of the mesh
            break
    within.sort_indices()
    target = np.repeat(np.arange(num_vertices), np.diff(within.indptr))
    source = within.indices.astype(np.int64)
    keep = np.ones(len(source), dtype=bool) if self_loops else source != target
    return np.stack([source[keep], target[keep]])


def _cache_dir() -> Path | None:
    """None for a user without a home, as in a container under a number that no user has."""
    try:
        return Path(os.environ.get("HGG_CACHE") or Path.home() / ".cache" / "hgg_pyg")
    except RuntimeError:
        return None


def _cache_key(triangles: np.ndarray, hops: int, num_vertices: int, self_loops: bool) -> str:
    """sha256 of all that the edges depend on."""
    digest = hashlib.sha256(_FORMAT)
    digest.update(np.array([hops, num_vertices, self_loops, *triangles.shape], dtype="<i8").tobytes())
    digest.update(triangles.astype("<i8").tobytes())
    return digest.hexdigest()


def _load(path: Path) -> np.ndarray | None:
    """The cached edges, or None where there is no file, or another than `_save` wrote under this name."""
    try:
        content = path.read_bytes()
    except OSError:  # missing or unreadable
        return None
    if content[-_DIGEST:] != _digest(path, content[:-_DIGEST]):
        log.warning("%s: damaged: its digest is of another content; the edges are computed anew", path)
        return None
    return np.load(io.BytesIO(content), allow_pickle=False)  # which does not look at what follows the array


def _digest(path: Path, array: bytes) -> bytes:
    """Of a file's content and its name, so that another mesh's file is not taken for this one's."""
    return hashlib.sha256(path.name.encode() + array).digest()


def _save(path: Path, edges: np.ndarray) -> None:
    """Write to a temporary name and rename. A cache that cannot be written is no error: it only saves time."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{path.stem}*.tmp"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                left.unlink()
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        array = io.BytesIO()
        np.save(array, edges)
        with os.fdopen(handle, "wb") as file:
            file.write(array.getvalue() + _digest(path, array.getvalue()))
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
