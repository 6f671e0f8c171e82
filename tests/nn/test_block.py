"""The block: its residuals, its relations, and batches of graphs against graphs one by one."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData
from torch_geometric.nn import GATv2Conv, TransformerConv

from hgg_pyg.nn import FusedInterConv, FusedIntraConv, GraphBlock, InterConv, IntraConv
from hgg_pyg.nn.block import EdgeType, Norm, pass_messages

D, C, N = 8, 5, 20
BINDS, NEAR = ("gaussian", "binds", "vertex"), ("vertex", "near", "vertex")
RELATIONS = {"both": (BINDS, NEAR), "binds": (BINDS,), "near": (NEAR,), "none": (), "reversed": (NEAR, BINDS)}
NORMS = pytest.mark.parametrize("norm", ["pre", "post"])


def make_block(relations: tuple[EdgeType, ...] = (BINDS, NEAR), norm: Norm = "pre", fused: bool = False) -> GraphBlock:
    intra, inter = (FusedIntraConv, FusedInterConv) if fused else (IntraConv, InterConv)
    convs = {r: intra((C, D), D, 2) if r == BINDS else inter(D, D, 2) for r in relations}
    return GraphBlock(D, convs, norm=norm).double()


def subject(count: int, seed: int) -> HeteroData:
    """`count` Gaussians bound to the first half of the vertices, which are near one another."""
    generator = torch.Generator().manual_seed(seed)
    data = HeteroData()
    data["gaussian"].x = torch.randn(count, C, generator=generator).double()
    data["vertex"].node_id = torch.arange(N)
    bound = torch.randint(N // 2, (count,), generator=generator)
    data[BINDS].edge_index = torch.stack([torch.arange(count), bound])
    data[NEAR].edge_index = torch.randint(N, (2, 60), generator=generator)
    return data


def apply(block: GraphBlock, queries: Tensor, data: HeteroData) -> Tensor:
    edges = {r: data[r].edge_index for r in (BINDS, NEAR)}
    return block(queries[data["vertex"].node_id], {BINDS: data["gaussian"].x}, edges)


@NORMS
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("fused", [False, True])
def test_batch_equals_one_by_one(slots: int, norm: Norm, fused: bool) -> None:
    """Different numbers of Gaussians, one subject without any: values, and gradients of weights and queries."""
    torch.manual_seed(0)
    subjects = [subject(33, 0), subject(0, 1), subject(200, 2)]
    block, queries = make_block(norm=norm, fused=fused), nn.Parameter(torch.randn(N, slots, D).double())
    leaves = [queries, *block.parameters()]
    single = torch.cat([apply(block, queries, data) for data in subjects])
    batched = apply(block, queries, Batch.from_data_list(subjects))
    torch.testing.assert_close(batched, single)
    upstream = torch.randn_like(single)
    gradients = torch.autograd.grad(batched, leaves, upstream)
    for gradient, wanted in zip(gradients, torch.autograd.grad(single, leaves, upstream), strict=True):
        torch.testing.assert_close(gradient, wanted)


@NORMS
@pytest.mark.parametrize("order", ["both", "reversed"])
def test_equals_its_formula(norm: Norm, order: str) -> None:
    data, q = subject(30, 0), torch.randn(N, 2, D).double()
    block = make_block(RELATIONS[order], norm)
    expected = q
    for relation in RELATIONS[order]:
        name = "__".join(relation)
        conv, ffn, (first, second) = block.conv(relation), block.ffns[name], block.norms[name]
        edges = data[relation].edge_index

        def messages(h: Tensor, conv: nn.Module = conv, relation: EdgeType = relation, edges: Tensor = edges) -> Tensor:
            return conv((data["gaussian"].x if relation == BINDS else h, h), edges)

        if norm == "pre":
            expected = expected + messages(first(expected))
            expected = expected + ffn(second(expected))
        else:
            expected = first(expected + messages(expected))
            expected = second(expected + ffn(expected))
    torch.testing.assert_close(apply(block, q, data), expected)


def test_relations_run_in_order() -> None:
    block, other = make_block(RELATIONS["both"]), make_block(RELATIONS["reversed"])
    assert (block.relations, other.relations) == (RELATIONS["both"], RELATIONS["reversed"])
    other.load_state_dict(block.state_dict())
    data, q = subject(30, 0), torch.randn(N, 1, D).double()
    assert not torch.allclose(apply(block, q, data), apply(other, q, data))


def test_vertex_without_gaussians_keeps_its_residual() -> None:
    """With the feed-forward network silenced, the intra half is the identity there, bit for bit, and only there."""
    data, queries = subject(6, 0), torch.randn(N, 1, D).double()
    block = make_block((BINDS,))
    for parameter in block.ffns.parameters():
        nn.init.zeros_(parameter)
    kept = (apply(block, queries, data) == queries).flatten(1).all(1)
    empty = torch.ones(N, dtype=torch.bool).index_fill(0, data[BINDS].edge_index[1], False)
    assert 0 < int(empty.sum()) < N
    assert torch.equal(kept, empty)


@pytest.mark.parametrize("name", ["both", "binds", "near", "none"])
def test_a_relation_left_out_takes_its_weights_and_its_effect_along(name: str) -> None:
    relations = RELATIONS[name]
    block, full = make_block(relations), make_block()
    wanted = {key for key, _ in full.named_parameters() if any("__".join(r) in key for r in relations)}
    assert {key for key, _ in block.named_parameters()} == wanted
    assert len(wanted) == len(relations) * len(list(full.parameters())) // 2
    data, queries = subject(30, 0), torch.randn(N, 1, D).double()
    out = apply(block, queries, data)
    assert torch.equal(out, queries) == (not relations)
    data["gaussian"].x = torch.randn_like(data["gaussian"].x)
    moved = apply(block, queries, data)
    assert torch.equal(moved, out) == (BINDS not in relations)
    data[NEAR].edge_index = data[NEAR].edge_index.flip(0)
    assert torch.equal(apply(block, queries, data), moved) == (NEAR not in relations)


def test_edge_features_reach_the_layer_of_their_relation() -> None:
    block = GraphBlock(D, {BINDS: IntraConv((C, D), D, 2), NEAR: InterConv(D, D, 2, edge_dim=3)}).double()
    data, q = subject(30, 0), torch.randn(N, 2, D).double()
    edges = {r: data[r].edge_index for r in (BINDS, NEAR)}
    x, features = {BINDS: data["gaussian"].x}, torch.randn(60, 3).double()
    out = block(q, x, edges, {NEAR: features})
    assert not torch.allclose(out, block(q, x, edges, {NEAR: -features}))
    with pytest.raises(ValueError, match="InterConv: expected 3 edge features, found none"):
        block(q, x, edges)


@pytest.mark.parametrize("cls", [TransformerConv, GATv2Conv])
def test_layers_of_pyg_take_one_token_after_the_other(cls: type[nn.Module]) -> None:
    conv, q = (
        cls((C, D), D // 2, heads=2, add_self_loops=False) if cls is GATv2Conv else cls((C, D), D // 2, heads=2),
        3,
    )
    features, queries, edges = torch.randn(30, C), torch.randn(N, q, D), subject(30, 0)[BINDS].edge_index
    out = pass_messages(conv, features, queries, edges)
    assert out.shape == (N, q, D)
    for s in range(q):
        torch.testing.assert_close(out[:, s], conv((features, queries[:, s]), edges))
    near = pass_messages(cls(D, D // 2, heads=2), queries, queries, subject(30, 0)[NEAR].edge_index)
    assert near.shape == (N, q, D)


def test_dropout_of_the_feed_forward_network_only_in_training() -> None:
    block = GraphBlock(D, {NEAR: FusedInterConv(D, D, 2)}, dropout=0.5).double()
    q, edges = torch.randn(N, 1, D).double(), {NEAR: torch.randint(N, (2, 60))}
    assert not torch.equal(block(q, {}, edges), block(q, {}, edges))
    block.eval()
    assert torch.equal(block(q, {}, edges), block(q, {}, edges))


def test_reset_parameters_reaches_everything() -> None:
    block = make_block()
    for parameter in block.parameters():
        nn.init.constant_(parameter, 7.0)
    block.reset_parameters()
    assert not any(bool((parameter == 7.0).any()) for parameter in block.parameters())


def test_copies_compute_the_same() -> None:
    block, data, q = make_block(), subject(30, 0), torch.randn(N, 1, D).double()
    for copied in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert torch.equal(apply(copied, q, data), apply(block, q, data))
        assert copied.relations == block.relations


def test_repr_shows_the_layers() -> None:
    text = repr(make_block(fused=True))
    assert "(gaussian__binds__vertex): FusedIntraConv((5, 8), 8, heads=2)" in text
    assert "(vertex__near__vertex): FusedInterConv(8, 8, heads=2)" in text


def test_bad_norm() -> None:
    with pytest.raises(ValueError, match=r"^GraphBlock\.norm: expected one of pre, post, found 'none'$"):
        GraphBlock(D, {}, norm="none")  # type: ignore[arg-type]
