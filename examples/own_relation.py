"""A relation of your own: every vertex hears from its mirror image on the other side of the body.

python own_relation.py

In a training run, from the folder of this file:

python -m hgg_pyg.train --graph.relations binds near own_relation:mirrors
"""

import torch

import hgg_pyg
from graphs import VERTEX, ClipNodes, GraphSpec, Relation, build_graph, nearest_vertices
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet


def mirrors(nodes: ClipNodes) -> Relation:
    """The vertex nearest to (-x, y, z) of the shaped body, with how far away it is and the side that it is on."""
    body = nodes.v_shaped  # [N, 3] metres, the left side at positive x
    if body is None:
        raise ValueError("mirrors: expected nodes with the shaped body (v_shaped), found none")
    image = body * body.new_tensor([-1.0, 1.0, 1.0])
    source = nearest_vertices(image[None], body[None])[0, :, 0]
    target = torch.arange(len(body), device=body.device)
    distance = (body[source] - body).norm(dim=1)
    side = body[source, 0].sign()
    return Relation(VERTEX, VERTEX, torch.stack([source, target]), torch.stack([distance, side], dim=1))


def random_clip(spec: GraphSpec, frames: int = 3, gaussians: int = 2000, features: int = 16) -> ClipNodes:
    """Gaussians scattered about the open default body, which sways a little from frame to frame."""
    body = hgg_pyg.load_body()
    shape = 0.5 * torch.randn(body.shapedirs.shape[-1])
    v_shaped = body.shaped_vertices(shape)
    vertices = v_shaped + 0.05 * torch.randn(frames, 1, 3)
    near = torch.randint(body.num_vertices, (frames, gaussians, 1)).expand(-1, -1, 3)
    pos = vertices.gather(1, near) + 0.02 * torch.randn(frames, gaussians, 3)
    x = torch.randn(frames, gaussians, features)
    return ClipNodes.from_frames(pos, x, vertices, body.faces, v_shaped, spec=spec)


if __name__ == "__main__":
    torch.manual_seed(0)
    graph = build_graph(random_clip(GraphSpec(relations=("binds", "near", "own_relation:mirrors"))))
    print(graph)
    distance, side = graph[VERTEX, "mirrors", VERTEX].edge_attr.unbind(1)
    print(f"a vertex hears from {100 * distance.median():.0f} cm away in the median, {(side > 0).sum()} from the left")
    network = HGGNet(ModelConfig(num_layers=1).for_graph(graph))  # a layer for every relation of the graph
    before = network.refine_queries(graph)
    graph[VERTEX, "mirrors", VERTEX].edge_attr += 1
    print(f"queries move by {(network.refine_queries(graph) - before).abs().mean():.4f} when the edge features change")
