"""Vertices under ids in any order: the fused inter-node layer follows a walk and gives what messages give."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hgg_pyg.attention import Edges
from hgg_pyg.attention.kernels.walk import walk_of
from hgg_pyg.nn import FusedInterConv, InterConv

N = 400


def scattered() -> Edges:
    """A ring of vertices, each with three edges to it, but for one without any."""
    target = torch.arange(N).repeat_interleave(3)
    source = (target + torch.tensor([-1, 0, 2]).repeat(N)) % N
    ids = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    return Edges.from_index(ids[torch.stack([source, target])[:, target != 5]], N, N)


def run(conv: Callable[..., Tensor], parameters: list[nn.Parameter], x: Tensor, edges: Edges) -> list[Tensor]:
    leaf = x.clone().requires_grad_()
    out = conv(leaf, edges)
    grad = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
    return [out, *torch.autograd.grad(out, [leaf, *parameters], grad)]


@pytest.mark.filterwarnings("ignore")  # compiling warns of much
@pytest.mark.parametrize("slots", [(), (2,)])
def test_scattered_ids_change_nothing(slots: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain, fused = InterConv(16, 24, heads=3).double(), FusedInterConv(16, 24, heads=3, backend="fused").double()
    fused.load_state_dict(plain.state_dict())
    edges, x = scattered(), torch.randn(N, *slots, 16, dtype=torch.float64)
    assert edges.derive(walk_of) is not None
    wanted = run(plain, list(plain.parameters()), x, edges)
    torch._dynamo.reset()
    for conv in (fused, torch.compile(fused, backend="eager")):
        for ours, theirs in zip(run(conv, list(fused.parameters()), x, edges), wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
