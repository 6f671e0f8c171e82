"""torch.compile of the whole network gives what it gives without it, by whatever graph breaks it takes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor
from torch_geometric.data import HeteroData

from graphs import GraphSpec
from hgg_pyg.body import PosedBody
from hgg_pyg.data.clips import clip_graph
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.types import Gaussians

MESH = trimesh.creation.icosphere(1)  # 42 vertices

pytestmark = pytest.mark.filterwarnings("ignore")  # compiling warns of much, and of other things in each torch


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def small_graph(count: int) -> HeteroData:
    """A clip of two frames of so many Gaussians about a ball."""
    generator = torch.Generator().manual_seed(count)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    vertices = torch.from_numpy(np.asarray(MESH.vertices)).float()
    frames = []
    for _ in range(2):
        means = vertices[torch.randint(len(vertices), (count,), generator=generator)] + 0.01 * draw(count, 3)
        fields = draw(count, 4), draw(count, 3), draw(count), draw(count, 3), draw(count, 6)
        frames.append(Gaussians(means, *fields))
    posed = PosedBody(vertices.expand(2, -1, -1), torch.eye(4).expand(2, len(vertices), 4, 4), vertices)
    faces = torch.from_numpy(np.asarray(MESH.faces))
    return clip_graph(frames, posed, faces, draw(10), GraphSpec(k=1, hops=1, readout_k=2))


@pytest.mark.parametrize(
    ("options", "counts"), [({"backend": "fused"}, (60, 50)), ({"conv": "attention"}, (60,))], ids=["fused", "messages"]
)
def test_the_network(options: dict[str, Any], counts: tuple[int, ...]) -> None:
    """Of graphs of other sizes, values and gradients."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "num_layers": 1,
        "hidden_channels": 8,
        "heads": 2,
        "in_channels": 6,
        "num_vertices": len(MESH.vertices),
    }
    model = HGGNet(ModelConfig(**sizes, **options))
    torch.nn.init.normal_(model.head[-1].get_parameter("weight"), std=0.3)  # zero, it would return its input
    compiled, weights = torch.compile(model, backend="eager"), list(model.parameters())
    for count in counts:
        graph = small_graph(count)
        (found, of_found), (wanted, of_wanted) = (results(m, graph, weights) for m in (compiled, model))
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(of_found, of_wanted, rtol=1e-3, atol=1e-5)


def results(
    model: Callable[..., Any], graph: HeteroData, weights: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Fields of the refined Gaussians, and gradients of the weights that these have."""
    refined = model(graph)
    fields = [refined.means, refined.quats, refined.scales, refined.opacities, refined.colors]
    loss = torch.stack([(x * torch.linspace(-1, 1, x.numel()).view_as(x)).sum() for x in fields]).sum()
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return [x.detach() for x in fields], [g for g in gradients if g is not None]
