"""Statistics of a vertex's Gaussians, against plain loops."""

import pytest
import torch

from hgg_pyg.attention import Edges
from hgg_pyg.nn import PooledConv


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """Features [40, 5] and edges to 9 vertices, of which the last two have none and the one before a single one."""
    generator = torch.Generator().manual_seed(0)
    target = torch.cat([torch.randint(6, (39,), generator=generator), torch.tensor([6])])
    return torch.randn(40, 5, generator=generator, dtype=torch.float64), torch.stack([torch.randperm(40), target])


def expected(layer: PooledConv, features: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
    rows = []
    for vertex in range(9):
        own = features[edge_index[0, edge_index[1] == vertex]]
        if not len(own):
            rows.append(torch.zeros(7, dtype=features.dtype))
            continue
        count = torch.tensor([(1 + len(own)) / 21], dtype=features.dtype).log()
        spread = own.std(0, correction=0)
        rows.append(layer.mix(torch.cat([own.mean(0), spread, own.amin(0), own.amax(0), count])))
    return torch.stack(rows)


def test_it_is_an_mlp_of_mean_spread_least_and_largest(problem) -> None:
    features, edge_index = problem
    layer = PooledConv(5, 7).double()
    out = layer(features, Edges.from_index(edge_index, 40, 9))
    torch.testing.assert_close(out, expected(layer, features, edge_index))
    assert torch.equal(out[7:], torch.zeros(2, 7, dtype=torch.float64))


def test_neither_the_order_of_edges_nor_laying_them_out_matters(problem) -> None:
    features, edge_index = problem
    layer = PooledConv(5, 7).double()
    edges = Edges.from_index(edge_index, 40, 9)
    out = layer(features, edges)
    torch.testing.assert_close(layer(features, Edges.from_index(edge_index[:, torch.randperm(40)], 40, 9)), out)
    torch.testing.assert_close(layer(*edges.lay_out(features)), out)


def test_gradients_are_right_and_features_may_be_stored_in_bfloat16(problem) -> None:
    features, edge_index = problem
    edges = Edges.from_index(edge_index[:, :39], 40, 9)  # but the vertex of one Gaussian: no slope at 0
    layer = PooledConv(5, 7).double()
    assert torch.autograd.gradcheck(lambda x: layer(x, edges), features.clone().requires_grad_())
    single = PooledConv(5, 7)
    stored = single(features.bfloat16(), edges)
    assert stored.dtype == torch.float32
    torch.testing.assert_close(stored, single(features.bfloat16().float(), edges))
