"""Which Gaussians an avatar starts from: invariants of the choice, and of what is born."""

from typing import Any

import pytest
import torch
from torch import Tensor

from graphs import ClipNodes, GraphSpec, build_graph, nearest_vertices
from graphs.anchors import choose_anchors, seen_features, smoothed
from tests.graphs.graph_cases import avatar

T, SIDE = 3, 12
BEST = GraphSpec(hops=1, anchors="best-seen", born=True)


def grid() -> tuple[Tensor, Tensor]:
    """A flat sheet of vertices across the plane of symmetry, x from -1 to 1, and its triangles."""
    x, y = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(0, 2, SIDE), indexing="ij")
    vertices = torch.stack([x, y, 0.1 * y], -1).reshape(-1, 3)
    corner = (torch.arange(SIDE - 1)[:, None] * SIDE + torch.arange(SIDE - 1)).flatten()
    a, b, c, d = corner, corner + SIDE, corner + 1, corner + SIDE + 1
    return vertices, torch.cat([torch.stack([a, b, c], 1), torch.stack([b, d, c], 1)])


def nodes_of(seen: Tensor, spec: GraphSpec = BEST, there: Tensor | None = None, **options: Any) -> ClipNodes:
    """Two Gaussians at each vertex of each frame, or where they are `there` [T, N]; each frame is elsewhere."""
    vertices, faces = grid()
    frames = vertices + torch.arange(len(seen))[:, None, None].float()
    there = torch.ones_like(seen, dtype=torch.bool) if there is None else there
    generator = torch.Generator().manual_seed(3)
    pos = [torch.cat([v[t], v[t]]) for v, t in zip(frames, there, strict=True)]
    pos = [p + 0.001 * torch.randn(p.shape, generator=generator) for p in pos]
    x = [torch.randn(len(p), 2, generator=generator) for p in pos]
    return ClipNodes.from_frames(pos, x, frames, faces, vertices, spec=spec, seen=seen, **options)


def halves() -> Tensor:
    """Frame 0 sees x < 0, frame 1 the rest but the last rows, frame 2 all at a grazing angle but those rows."""
    x = grid()[0]
    last = x[:, 1] > 1.5
    return (
        torch.stack([(x[:, 0] < 0) & ~last, (x[:, 0] > 0) & ~last, torch.ones_like(last)])
        * torch.tensor([[1.0], [1.0], [0.3]])
        * ~last
    )


def test_each_part_comes_from_the_frame_that_sees_it_best() -> None:
    nodes = nodes_of(halves())
    chosen = nodes.anchors.chosen
    frame, vertex = nodes.frame[chosen], nodes.nearest[chosen, 0]
    x, y = grid()[0][:, :2].unbind(1)
    inner = y[vertex] < 1.2
    assert (frame[inner & (x[vertex] < -0.4)] == 0).all()
    assert (frame[inner & (x[vertex] > 0.4)] == 1).all()
    assert len(chosen.unique()) == len(chosen)
    assert (chosen.diff() > 0).all()
    pairs = torch.stack([frame, vertex], 1).unique(dim=0)
    assert len(pairs) == len(vertex.unique())  # a vertex has Gaussians of one frame


@pytest.mark.parametrize("ref", [0, 2])
def test_seen_alike_they_are_the_papers(ref: int) -> None:
    seen = torch.full((T, SIDE**2), 0.7)
    anchors = nodes_of(seen, ref_frame=ref).anchors
    papers = nodes_of(seen, GraphSpec(hops=1), ref_frame=ref).anchors
    assert torch.equal(anchors.chosen, papers.chosen)
    assert len(anchors.born) == len(papers.born) == 0


def test_one_frame_gives_its_own_and_those_that_are_born() -> None:
    seen, there = halves()[:1], halves()[:1] > 0
    nodes = nodes_of(seen, there=there)
    assert torch.equal(nodes.anchors.chosen, torch.arange(len(nodes.pos)))
    born = nodes.anchors.born
    assert len(born) > 30
    assert not there[0, born].any()
    x = grid()[0]
    donors = nodes.anchors.donors
    assert there[0, donors].all()
    across = there[0] & (x[:, 0] < -0.05)
    mirrored = (x[born, 0] > 0.05) & torch.isin(
        nearest_vertices((x[born] * torch.tensor([-1.0, 1, 1]))[None], x[None])[0, :, 0], across.nonzero()[:, 0]
    )
    assert mirrored.any()
    assert torch.allclose(x[donors[mirrored]], x[born[mirrored]] * torch.tensor([-1.0, 1, 1]), atol=1e-5)
    same = nodes_of(seen, GraphSpec(hops=1, born=True), there=there).anchors
    assert torch.equal(same.born, born)
    assert torch.equal(same.chosen, nodes.anchors.chosen)


def test_the_order_of_frames_does_not_matter() -> None:
    """But for which is t0, and frames that see a vertex exactly alike."""
    seen = torch.rand(T, SIDE**2, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([2, 0, 1])
    one, other = nodes_of(seen), nodes_of(seen[order], ref_frame=1)
    of_one = one.frame[one.anchors.chosen], one.nearest[one.anchors.chosen, 0]
    of_other = order[other.frame[other.anchors.chosen]], other.nearest[other.anchors.chosen, 0]
    found = [torch.stack(pair, 1).unique(dim=0) for pair in (of_one, of_other)]
    assert torch.equal(*found)


def test_what_stands_off_the_body_is_the_reference_frames() -> None:
    nodes = nodes_of(halves())
    off = nodes.pos.clone()
    off[:, 2] += 0.05
    far = ClipNodes(off, nodes.frame, nodes.x, nodes.vertices, nodes.faces, nodes.v_shaped, 1, BEST, nodes.seen)
    assert torch.equal(far.anchors.chosen, far.is_ref.nonzero()[:, 0])


def test_smoothing_is_a_mean_over_the_mesh() -> None:
    seen = torch.rand(2, SIDE**2)
    faces = grid()[1]
    smooth = smoothed(seen, faces)
    assert torch.allclose(smoothed(torch.ones_like(seen), faces), torch.ones_like(seen))
    assert (smooth.std(1) < seen.std(1)).all()
    assert smooth.min() >= seen.min()
    assert smooth.max() <= seen.max()


def test_the_read_out_asks_the_vertices_of_each_ones_own_frame() -> None:
    spec = GraphSpec(hops=1, anchors="best-seen", born=True, readout_k=3)
    nodes = nodes_of(halves(), spec, there=halves() > 0)
    chosen, born = nodes.anchors.chosen, nodes.anchors.born
    assert nodes.anchor_nearest.shape == (len(nodes.anchors), 3)
    assert torch.equal(nodes.anchor_nearest[: len(chosen), 0], nodes.nearest[chosen, 0])
    assert torch.equal(nodes.anchor_nearest[len(chosen) :, 0], born)
    assert len(born) > 0
    with pytest.raises(ValueError, match=r"avatar: expected \d+ Gaussians, the anchors of its nodes, found 288"):
        build_graph(nodes, avatar(nodes_of(halves(), GraphSpec(hops=1))))


def test_features_say_what_is_seen_and_what_was_born() -> None:
    spec = GraphSpec(hops=1, anchors="best-seen", born=True, tell_seen=True)
    nodes = nodes_of(halves(), spec, there=halves() > 0)
    of_all, of_anchors = seen_features(nodes)
    count = len(nodes.anchors.chosen)
    assert of_all.shape == (len(nodes.pos), 4)
    assert of_anchors.shape == (len(nodes.anchors), 4)
    assert torch.equal(of_anchors[:count], of_all[nodes.anchors.chosen])
    assert (of_all[:, 3] == 0).all()
    assert len(of_anchors) > count
    assert (of_anchors[count:, 3] == 1).all()
    assert of_anchors[count:, 0].mean() < 0.3 < of_anchors[:count, 0].mean()
    assert build_graph(nodes)["gaussian"].x.shape == (len(nodes.pos), 2 + 4)


def all_last(nodes: ClipNodes) -> Tensor:
    return torch.full((nodes.num_vertices,), len(nodes.vertices) - 1)


def too_late(nodes: ClipNodes) -> Tensor:
    return torch.full((nodes.num_vertices,), len(nodes.vertices))


def none(nodes: ClipNodes) -> None:
    return None


def too_few(nodes: ClipNodes) -> Tensor:
    return torch.zeros(3)


def test_a_choice_of_ones_own_is_taken_and_checked() -> None:
    def nodes(name: str) -> ClipNodes:
        return nodes_of(halves(), GraphSpec(anchors=f"{__name__}:{name}"))

    last = nodes("all_last")
    assert torch.equal(last.anchors.chosen, (last.frame == T - 1).nonzero()[:, 0])
    with pytest.raises(ValueError, match="expected frames from 0 to 2, found others"):
        choose_anchors(nodes("too_late"))
    with pytest.raises(ValueError, match=r"expected \[144\] frames, integers, found \[3\] torch.float32"):
        choose_anchors(nodes("too_few"))
    with pytest.raises(ValueError, match=r"expected \[144\] frames, integers, found <class 'NoneType'>"):
        choose_anchors(nodes("none"))
    for name in ("best", "no.such:thing", f"{__name__}:T", 7):
        with pytest.raises(ValueError, match=r"^GraphSpec\.anchors"):
            GraphSpec(anchors=name)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^GraphSpec\.born: expected True or False, found 1"):
        GraphSpec(born=1)  # pyright: ignore[reportArgumentType]


def test_without_what_is_seen_it_says_so() -> None:
    nodes = nodes_of(halves())
    blind = ClipNodes(nodes.pos, nodes.frame, nodes.x, nodes.vertices, nodes.faces, nodes.v_shaped, 0, BEST)
    with pytest.raises(ValueError, match="anchors 'best-seen', born True, tell_seen False: expected nodes that say"):
        _ = blind.anchors
    with pytest.raises(ValueError, match=r"seen: expected \[3, 144\] as the vertices, found \[2, 144\]"):
        ClipNodes(nodes.pos, nodes.frame, nodes.x, nodes.vertices, nodes.faces, seen=halves()[:2])
