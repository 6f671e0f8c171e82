"""What our fused layers must at least do: bytes through memory and floating-point operations, counted.

Counted as moved are the features of the Gaussians, once a pass; the ids of sources that are not in order; a layer's
queries and results and, backward, the queries, their gradients and those that arrive; and weights with their gradients.
Numbers take four bytes, features stored in bfloat16 two, ids eight. Whatever else has a row per vertex (6,890 of them)
is taken to stay in a cache. So are keys and values: what is not folded could compute them as it goes.

Counted as operations are the projections, and for each edge its logit and its share of the sum; backward, the slopes of
both. Softmax is taken to be free, and attention weights to be neither stored nor computed again. Features are frozen:
nothing is computed for a gradient of theirs.
"""

from __future__ import annotations

from functools import cache

from benchmarks import graphs
from benchmarks.floors import Work
from benchmarks.layer_cases import LAYERS, Layer, LayerCase
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.residual import RESIDUAL_DIM

_GAUSSIAN = 14  # numbers: mean 3, quaternion 4, scales 3, opacity, colour 3


def must_do(case: LayerCase, name: str) -> dict[str, Work]:
    """What the passes of a layer must at least do, "forward" and "forward_backward"; empty for what is not ours."""
    layer = LAYERS[name]
    if (layer.conv, layer.backend) != ("fused", "fused"):
        return {}
    count = {"intra": _intra, "inter": _inter, "model": _model}[case.kind]
    forward, backward = count(case, layer)
    return {"forward": forward, "forward_backward": forward + backward}


def _intra(case: LayerCase, layer: Layer) -> tuple[Work, Work]:
    n, e, c, d = case.targets, case.edges, case.features, case.hidden_channels
    features = e * c * (2 if layer.storage == "bfloat16" else 4)
    if case.kind == "intra" and case.shuffled:  # a model lays its Gaussians out
        features += 8 * e
    weights = 4 * (2 * d * d + 2 * c * d)
    if layer.fold:  # N rows through all four projections, and every head takes whole features
        on_vertices, on_gaussians, on_edges = 2 * n * (2 * d * d + 2 * c * d), 0, 4 * e * case.heads * c
    else:
        on_vertices, on_gaussians, on_edges = 2 * n * 2 * d * d, 2 * e * 2 * c * d, 4 * e * d
    return (
        Work(features + 8 * n * d + weights, on_vertices + on_gaussians + on_edges),
        Work(features + 12 * n * d + 2 * weights, 2 * on_vertices + on_gaussians + 2 * on_edges),
    )


def _inter(case: LayerCase, layer: Layer) -> tuple[Work, Work]:
    n, d = case.targets, case.hidden_channels
    e = _neighbours(case.hops, n)
    weights = 4 * 4 * d * d
    projections, on_edges = 2 * n * 4 * d * d, 4 * e * d
    return (
        Work(8 * e + 8 * n * d + weights, projections + on_edges),
        Work(8 * e + 12 * n * d + 2 * weights, 2 * projections + 2 * on_edges),
    )


def _model(case: LayerCase, layer: Layer) -> tuple[Work, Work]:
    n, m, c, d = case.targets, case.readout, case.features, case.hidden_channels
    hidden = ModelConfig.ffn_ratio * d
    feed_forward = Work(8 * n * d + 8 * d * hidden, 4 * n * d * hidden)
    feed_backward = Work(12 * n * d + 16 * d * hidden, 8 * n * d * hidden)
    intra, intra_backward = _intra(case, layer)
    inter, inter_backward = _inter(case, layer)
    # Read-out: queries and residuals of Gaussians, keys and values of vertices, attention, W_O, and the head.
    weights = 2 * c * d + 3 * d * d + 2 * d * hidden + d * RESIDUAL_DIM
    from_features = 2 * m * 2 * c * d
    rest = 2 * m * (d * d + 2 * d * hidden + d * RESIDUAL_DIM) + 2 * n * 2 * d * d + 4 * m * d
    readout = Work(4 * m * (c + 2 * _GAUSSIAN) + 4 * weights, from_features + rest)
    readout_backward = Work(4 * m * (c + _GAUSSIAN) + 8 * weights, from_features + 2 * rest)
    layers = case.num_layers
    return (
        layers * (intra + inter + 2 * feed_forward) + readout,
        layers * (intra_backward + inter_backward + 2 * feed_backward) + readout_backward,
    )


@cache
def _neighbours(hops: int, targets: int) -> int:
    """Edges of the inter graph; random ids change none of their number."""
    return len(graphs.inter(hops, False, targets).source)
