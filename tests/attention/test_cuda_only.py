"""Variants for CUDA devices: what can be checked on a CPU, by torch's slow ways of computing the same."""

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from hgg_pyg.attention import Edges
from hgg_pyg.attention.methods import flex
from hgg_pyg.attention.methods.flex import flex_edge_attention, target_blocks
from hgg_pyg.attention.methods.jagged import jagged_attention
from tests.attention.attention_cases import GRAPHS, graph, loop_attention


def problem(name: str, *shape: int) -> tuple[list[Tensor], Tensor, Edges]:
    generator = torch.Generator().manual_seed(0)
    edges = graph(name)
    sources, targets = (int(x) + 1 for x in edges.amax(1))
    sizes = [(targets + 1, *shape), *[(sources, *shape[-2:])] * 2]
    inputs = [torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_() for size in sizes]
    return inputs, edges, Edges.from_index(edges, sources, targets + 1)


@pytest.mark.parametrize("name", ["inter", "one target", "duplicates"])
@pytest.mark.parametrize("shape", [(1, 2, 4), (3, 2, 4), (4, 1, 8)])
def test_jagged_equals_a_loop(name: str, shape: tuple[int, ...]) -> None:
    inputs, edge_index, edges = problem(name, *shape)
    found, expected = jagged_attention(*inputs, edges), loop_attention(*inputs, edge_index)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    upstream = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view_as(found)
    wanted = torch.autograd.grad(expected, inputs, upstream)
    for gradient, other in zip(torch.autograd.grad(found, inputs, upstream), wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", ["inter", "one target", "duplicates"])
@pytest.mark.parametrize("shape", [(1, 2, 4), (3, 2, 16), (4, 1, 24)])
def test_flex_equals_a_loop(monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...]) -> None:
    """Uncompiled, FlexAttention reads the mask of each pair and not the blocks, and has no backward pass on a CPU."""
    monkeypatch.setattr(flex, "compiled_flex", lambda: flex_attention)
    inputs, edge_index, edges = problem(name, *shape)
    with torch.no_grad():
        found = flex_edge_attention(*inputs, edges)
        torch.testing.assert_close(found, loop_attention(*inputs, edge_index), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("slots", [1, 3, 20])
@pytest.mark.parametrize("block", [4, 128])
def test_blocks_of_flex_hold_every_pair_once(
    monkeypatch: pytest.MonkeyPatch, name: str, slots: int, block: int
) -> None:
    """The lists of blocks, by rows and by edges, against a dense mask."""
    monkeypatch.setattr(flex, "BLOCK", block)
    _, _, edges = problem(name, slots, 1, 1)
    mask = edges.derive(target_blocks(slots))
    rows, count = slots * edges.num_targets, len(edges.source)
    row, edge = torch.arange(rows)[:, None], torch.arange(count)
    pairs = mask.mask_mod(torch.tensor(0), torch.tensor(0), row, edge)
    assert torch.equal(pairs, edges.target == row // slots)
    assert mask.seq_lengths == (rows, count)

    wanted = torch.zeros(-(-rows // block), -(-count // block), dtype=torch.bool)
    wanted[(row // block).expand_as(pairs)[pairs], (edge // block).expand_as(pairs)[pairs]] = True
    for number, indices, dense in (
        (mask.kv_num_blocks, mask.kv_indices, wanted),
        (mask.q_num_blocks, mask.q_indices, wanted.T),
    ):
        assert number is not None
        assert indices is not None
        assert number.dtype == indices.dtype == torch.int32
        assert indices.shape[:3] == (1, 1, len(dense))
        for listed, length, mine in zip(indices[0, 0], number[0, 0].tolist(), dense, strict=True):
            blocks = listed[:length].tolist()
            assert len(set(blocks)) == length
            assert set(mine.nonzero().flatten().tolist()) <= set(blocks) <= set(range(len(mine)))
    assert int(mask.kv_num_blocks.sum()) == int(wanted.sum())
