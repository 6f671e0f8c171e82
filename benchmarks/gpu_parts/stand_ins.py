"""What takes the place of torch_cluster in a measurement where that is not installed."""

from __future__ import annotations

import importlib

import torch
import torch_geometric.typing
from torch import Tensor

from graphs import nearest

_AT_ONCE = 1 << 25  # distances that are held at a time


def use_stand_ins() -> str:
    """Let the nearest-vertex search of this process work without torch_cluster; returns what it searches with."""
    try:
        importlib.import_module("torch_cluster")
        return "torch_cluster"
    except (ImportError, OSError):  # it may be there, built for another torch
        if getattr(torch_geometric.typing, "WITH_KNN", False):
            return "pyg-lib"
    nearest._knn = lambda: brute_force_knn
    return "all distances, no torch_cluster"


def brute_force_knn(x: Tensor, y: Tensor, k: int, batch_x: Tensor, batch_y: Tensor, batch_size: int) -> Tensor:
    """The k nearest of x [N, 3] to each of y [P, 3] within its batch, by all distances; on the GPU if there is one.

    Returns:
        [2, P k] rows of y, ascending, and of x.
    """
    device = torch.device("cuda") if torch.cuda.is_available() else x.device
    found = []
    for batch in range(batch_size):
        places = (batch_x == batch).nonzero().flatten()
        points, among = y[batch_y == batch].to(device), x[places].to(device)
        for some in points.split(max(1, _AT_ONCE // max(1, len(among)))):
            distance = torch.cdist(some, among, compute_mode="donot_use_mm_for_euclid_dist")
            found.append(places[distance.topk(k, largest=False).indices.to(places.device)])
    column = torch.cat(found).flatten()
    return torch.stack([torch.arange(len(y), device=column.device).repeat_interleave(k), column])
