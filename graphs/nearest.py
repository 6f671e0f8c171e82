"""The k nearest vertices of every Gaussian within its own frame (Eqs. 6 and 18). Only this file knows torch_cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
import torch_geometric.typing
from torch import Tensor


def nearest_vertices(points: Tensor, vertices: Tensor, k: int = 1) -> Tensor:
    """The k nearest vertices of every point, frame by frame.

    Args:
        points: [T, M, 3] Gaussian centres in metres.
        vertices: [T, N, 3] posed vertices in metres.
        k: how many, at most N.

    Returns:
        [T, M, k] int64 vertex ids, nearest first; see `nearest_vertices_ragged` for ties.

    Raises:
        ValueError, ImportError, RuntimeError: as `nearest_vertices_ragged`.
    """
    if points.ndim != 3 or points.shape[2] != 3 or len(points) != len(vertices):
        raise ValueError(f"points: expected [{len(vertices)}, M, 3], found {list(points.shape)}")
    frames, count, _ = points.shape
    frame = torch.arange(frames, device=points.device).repeat_interleave(count)
    return nearest_vertices_ragged(points.reshape(-1, 3), frame, vertices, k).view(frames, count, k)


def nearest_vertices_ragged(points: Tensor, frame: Tensor, vertices: Tensor, k: int = 1) -> Tensor:
    """The k nearest vertices of every point, for frames of different numbers of points (none included).

    Not differentiable. Vertices at the very same distance come in the order of their ids; which of them are taken when
    the tie crosses the k-th place is the search library's choice.

    Args:
        points: [P, 3] Gaussian centres of all frames in metres.
        frame: [P] integer, the frame of each point, ascending.
        vertices: [T, N, 3] posed vertices in metres.
        k: how many, at most N.

    Returns:
        [P, k] int64 vertex ids in 0..N-1, nearest first.

    Raises:
        ValueError: shapes do not fit, `frame` is not ascending within 0..T-1, k is not in 1..N, or a position is NaN
            or infinite.
        ImportError: neither torch_cluster nor pyg-lib is installed.
        RuntimeError: the search did not return k vertices for every point.
    """
    _check(points, frame, vertices, k)
    frames, count = vertices.shape[:2]
    if len(points) == 0:
        return torch.empty(0, k, dtype=torch.int64, device=points.device)
    # Half precision would hold positions to a millimetre at best, and the search works in the type it is given.
    dtype = torch.promote_types(torch.promote_types(points.dtype, vertices.dtype), torch.float32)
    query, target = points.detach().to(dtype), vertices.detach().to(dtype)
    knn = _knn()
    if points.is_cuda:
        vertex_frame = torch.arange(frames, device=vertices.device).repeat_interleave(count)
        found = knn(target.reshape(-1, 3), query, k, vertex_frame, frame.long(), batch_size=frames)
        _check_found(found[0], len(points), k)
        ids = found[1].view(-1, k) - (frame.long() * count)[:, None]
    else:
        parts = query.split(torch.bincount(frame, minlength=frames).tolist())
        with ThreadPoolExecutor(min(frames, torch.get_num_threads())) as pool:
            ids = torch.cat(list(pool.map(partial(_search_frame, knn, k), parts, target)))
    return _by_distance(ids, query, target[frame.long()[:, None], ids]) if k > 1 else ids


def _search_frame(knn: Callable[..., Tensor], k: int, query: Tensor, target: Tensor) -> Tensor:
    """[M, k] of one frame on a CPU, where the library takes one core, whatever it is given; it drops the GIL."""
    if len(query) == 0:
        return torch.empty(0, k, dtype=torch.int64)
    one = torch.zeros(1, dtype=torch.int64)
    found = knn(target, query, k, one.expand(len(target)), one.expand(len(query)), batch_size=1)
    _check_found(found[0], len(query), k)
    return found[1].view(-1, k)


def _check(points: Tensor, frame: Tensor, vertices: Tensor, k: int) -> None:
    if vertices.ndim != 3 or vertices.shape[2] != 3:
        raise ValueError(f"vertices: expected [T, N, 3], found {list(vertices.shape)}")
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points: expected [P, 3], found {list(points.shape)}")
    if frame.shape != points.shape[:1] or frame.is_floating_point():
        raise ValueError(f"frame: expected [{len(points)}] integers, found {list(frame.shape)} {frame.dtype}")
    frames, count = vertices.shape[:2]
    if not 1 <= k <= count:
        raise ValueError(f"k: expected 1 to {count}, the number of vertices, found {k}")
    if len(frame) and (int(frame[0]) < 0 or int(frame[-1]) >= frames or bool((frame.diff() < 0).any())):
        raise ValueError(f"frame: expected ascending ids in 0..{frames - 1}")
    for name, positions in (("points", points), ("vertices", vertices)):
        bad = int((~positions.isfinite()).any(-1).sum())
        if bad:  # a k-d tree answers such a point with nothing, or with anything
            total = positions.numel() // 3
            raise ValueError(f"{name}: expected finite positions, found {bad} of {total} with NaN or infinity")


def _check_found(rows: Tensor, count: int, k: int) -> None:
    """The search leaves rows out where it finds fewer than k, e.g. beyond 1e5 metres on a GPU: never guess them."""
    expected = torch.arange(count, device=rows.device).repeat_interleave(k)
    if not torch.equal(rows, expected):
        short = int((torch.bincount(rows, minlength=count) != k).sum())
        raise RuntimeError(
            f"nearest vertices: {short} of {count} points did not get exactly k = {k} vertices "
            "(are positions in metres, and of the same world as the vertices?)"
        )


def _by_distance(ids: Tensor, points: Tensor, candidates: Tensor) -> Tensor:
    """Order each row of `ids` [P, k] by distance to its point [P, 3] of `candidates` [P, k, 3], then by id."""
    squared = (candidates - points[:, None]).square().sum(-1)
    by_id = ids.argsort(dim=1)
    order = by_id.gather(1, squared.gather(1, by_id).argsort(dim=1, stable=True))
    return ids.gather(1, order)


def _knn() -> Callable[..., Tensor]:
    """torch_cluster's search, or pyg-lib's by way of PyG: (x, y, k, batch_x, batch_y, batch_size) -> [2, P*k]."""
    try:
        from torch_cluster import knn
    except ImportError as error:
        if not getattr(torch_geometric.typing, "WITH_KNN", False):  # PyG before 2.8 has no search without torch_cluster
            raise ImportError(
                "the nearest-vertex search needs torch_cluster (pip install --no-build-isolation torch_cluster) "
                "or pyg-lib >= 0.6; neither is installed"
            ) from error
        from torch_geometric.nn import knn
    return knn
