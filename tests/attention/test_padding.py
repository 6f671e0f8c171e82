"""Blocks of padded rows: every edge once, widths by degree, and long blocks cut."""

import pytest
import torch

from hgg_pyg.attention import Edges, variants
from hgg_pyg.attention.methods import _padding
from hgg_pyg.attention.methods._padding import gather
from hgg_pyg.attention.methods.buckets import degree_buckets
from tests.attention.attention_cases import GRAPHS, C, H, Run, S, graph

BUCKETS = Run(variants()["buckets"], "cpu", torch.float64)


@pytest.mark.parametrize("name", GRAPHS)
def test_buckets_hold_every_edge_once_and_pad_to_less_than_twice(name: str) -> None:
    index = graph(name)
    sources, targets = (int(x) + 1 for x in index.amax(1))
    edges = Edges.from_index(index, sources, targets + 1)
    padded = edges.derive(degree_buckets)
    assert edges.derive(degree_buckets) is padded
    assert sorted(padded.target.tolist()) == edges.degree.nonzero().flatten().tolist()

    pairs, row, cell = [], 0, 0
    for filled in padded.filled:
        rows, width = filled.shape
        assert width in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
        degree = filled.sum(1)
        assert bool(((degree > width // 2) | (torch.tensor(width) == 8)).all())
        target = padded.target[row : row + rows, None].expand(filled.shape)
        source = padded.source[cell : cell + filled.numel()].view(filled.shape)
        pairs += zip(target[filled].tolist(), source[filled].tolist(), strict=True)
        row, cell = row + rows, cell + filled.numel()
    assert sorted(pairs) == sorted(zip(edges.target.tolist(), edges.source.tolist(), strict=True))


@pytest.mark.parametrize("rows", [1, 7])
def test_long_blocks_are_cut(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(_padding, "ROWS", rows)
    inputs, index = BUCKETS.inputs(graph("inter"), S, H, C)
    edges = Edges.from_index(index, len(inputs[1]), len(inputs[0]))
    BUCKETS.check(inputs, edges)
    assert max(len(filled) for filled in edges.derive(degree_buckets).filled) == rows


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_gathered_rows_keep_their_type_and_sum_their_gradients_in_float32(dtype: torch.dtype) -> None:
    x = torch.ones(2, 3, dtype=dtype, requires_grad=True)
    rows = gather(x, torch.zeros(4096, dtype=torch.int64))
    assert rows.dtype == dtype
    rows.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[4096.0] * 3, [0.0] * 3]
