"""The block: its residuals, its switches, and batches of graphs against graphs one by one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData

from graphs import BINDS, NEAR, ClipNodes, build_graph
from hgg_pyg.nn import GraphBlock, IntraConv

FACES = torch.tensor([[i, i + 1, i + 2] for i in range(18)])
D, C = 8, 5


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HGG_CACHE", str(tmp_path))


def subject(frames: int, count: int, seed: int) -> HeteroData:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((count, 3), (count, C), (20, 3))
    positions, features, vertices = (torch.randn(frames, *s, generator=generator).double() for s in shapes)
    return build_graph(ClipNodes.from_frames(positions, features, vertices, FACES))


def apply(block: GraphBlock, queries: Tensor, data: HeteroData) -> Tensor:
    q = queries[data["vertex"].node_id]
    return block(q, data["gaussian"].x, data[BINDS].edge_index, data[NEAR].edge_index)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("slots", [0, 3])
def test_batch_equals_one_by_one(slots: int, norm: str) -> None:
    """Different T and M, one subject without Gaussians: values, and gradients of weights and queries."""
    torch.manual_seed(0)
    subjects = [subject(3, 11, 0), subject(1, 0, 1), subject(5, 40, 2)]
    block = GraphBlock(D, C, heads=2, norm=norm).double()  # type: ignore[arg-type]
    queries = nn.Parameter(torch.randn(20, slots, D).double() if slots else torch.randn(20, D).double())
    leaves = [queries, *block.parameters()]
    single = torch.cat([apply(block, queries, data) for data in subjects])
    batched = apply(block, queries, Batch.from_data_list(subjects))
    torch.testing.assert_close(batched, single)
    upstream = torch.randn_like(single)
    gradients = torch.autograd.grad(batched, leaves, upstream)
    for gradient, wanted in zip(gradients, torch.autograd.grad(single, leaves, upstream), strict=True):
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_equals_its_formula(norm: str) -> None:
    data, queries = subject(2, 9, 0), torch.randn(20, D).double()
    block = GraphBlock(D, C, heads=2, norm=norm).double()  # type: ignore[arg-type]
    assert block.intra is not None
    assert block.inter is not None
    assert block.intra_ffn is not None
    assert block.inter_ffn is not None
    n1, n2, n3, n4 = block.norms
    g, binds, near = data["gaussian"].x, data[BINDS].edge_index, data[NEAR].edge_index
    q = queries
    if norm == "pre":
        q = q + block.intra((g, n1(q)), binds)
        q = q + block.intra_ffn(n2(q))
        q = q + block.inter(n3(q), near)
        q = q + block.inter_ffn(n4(q))
    else:
        q = n1(q + block.intra((g, q), binds))
        q = n2(q + block.intra_ffn(q))
        q = n3(q + block.inter(q, near))
        q = n4(q + block.inter_ffn(q))
    torch.testing.assert_close(apply(block, queries, data), q)


def test_vertex_without_gaussians_keeps_its_residual() -> None:
    """With the feed-forward network silenced, the intra half is the identity there, bit for bit, and only there."""
    data, queries = subject(1, 6, 0), torch.randn(20, D).double()
    block = GraphBlock(D, C, heads=2, inter=False).double()
    assert block.intra_ffn is not None
    for parameter in block.intra_ffn.parameters():
        nn.init.zeros_(parameter)
    out = apply(block, queries, data)
    empty = data[BINDS].edge_index[1].bincount(minlength=20) == 0
    assert 0 < int(empty.sum()) < 20
    assert torch.equal((out == queries).all(-1), empty)


@pytest.mark.parametrize(("intra", "inter"), [(True, False), (False, True), (False, False)])
def test_switches_drop_attention_and_its_feed_forward(intra: bool, inter: bool) -> None:
    block = GraphBlock(D, C, heads=2, intra=intra, inter=inter)
    full = GraphBlock(D, C, heads=2)
    names = {name.split(".")[0] for name, _ in block.named_parameters()}
    wanted = {"intra", "intra_ffn"} if intra else set()
    wanted |= {"inter", "inter_ffn"} if inter else set()
    assert names - {"norms"} == wanted
    assert len(block.norms) == len(full.norms) * (intra + inter) // 2
    data, queries = subject(2, 9, 0), torch.randn(20, D)
    data["gaussian"].x = data["gaussian"].x.float()
    out = apply(block, queries, data)
    moved = torch.randn_like(data["gaussian"].x)
    data["gaussian"].x = moved
    assert torch.equal(apply(block, queries, data), out) != intra
    if not (intra or inter):
        assert torch.equal(out, queries)


def test_reset_parameters_reaches_everything() -> None:
    block = GraphBlock(D, C, heads=2)
    for parameter in block.parameters():
        nn.init.constant_(parameter, 7.0)
    block.reset_parameters()
    assert not any(bool((parameter == 7.0).any()) for parameter in block.parameters())


def test_repr_shows_the_layers() -> None:
    text = repr(GraphBlock(D, C, heads=2))
    assert repr(IntraConv(C, D, heads=2)) in text
    assert "InterConv(8, heads=2)" in text


def test_bad_norm() -> None:
    with pytest.raises(ValueError, match=r'GraphBlock\.norm: expected "pre" or "post", found'):
        GraphBlock(D, C, norm="none")  # type: ignore[arg-type]
