"""A way of computing attention of your own: each target attends to its k best sources only, per head.

A `Variant` with `exact=False` says that it computes another operation than softmax over all edges. Tests, benchmarks
and `python -m hgg_pyg` know it too once it is registered: `hgg_pyg.attention.register(TOPK)`.

python own_attention.py                                                    tries it on random tensors
python -m hgg_pyg.train --name topk --model.backend own_attention:TOPK     trains with it, this folder on PYTHONPATH
"""

import torch
from torch import Tensor

from hgg_pyg.attention import Edges, Variant, attend, edge_softmax

K = 4


def top_k(query: Tensor, key: Tensor, value: Tensor, edges: Edges, k: int = K) -> Tensor:
    """Softmax over the k edges of each target with the largest logits. Shapes are those of `Variant`."""
    logits = (query[edges.target] * key[edges.source, None]).sum(-1) / query.shape[-1] ** 0.5  # [E, S, H]
    best_first = logits.argsort(dim=0, descending=True, stable=True)
    by_target = edges.target[best_first].argsort(dim=0, stable=True)
    order = best_first.gather(0, by_target)  # by target, then from the largest logit down
    place = torch.arange(len(logits), device=logits.device) - edges.ptr[edges.target]  # 0, 1, ... within each target
    rank = torch.empty_like(order).scatter_(0, order, place[:, None, None].expand_as(order))
    weights = edge_softmax(logits.masked_fill(rank >= k, -torch.inf), edges.target, len(query))
    messages = weights[..., None] * value[edges.source, None]  # [E, S, H, C]
    return messages.new_zeros(query.shape).index_add(0, edges.target, messages).to(query.dtype)


TOPK = Variant(
    "topk",
    f"softmax over the {K} best edges of a target",
    top_k,
    cpu=(torch.float32, torch.float64),
    cuda=(torch.float32, torch.float64),
    exact=False,
)

if __name__ == "__main__":
    query, key, value = torch.randn(50, 4, 16), torch.randn(900, 4, 16), torch.randn(900, 4, 16)
    edges = Edges.from_index(torch.stack([torch.arange(900), torch.randint(50, (900,))]), 900, 50)
    every = attend(query, key, value, edges, backend="reference")
    best = attend(query, key, value, edges, backend=TOPK)
    by_name = attend(query, key, value, edges, backend="own_attention:TOPK")
    all_of_them = top_k(query[:, None], key, value, edges, k=900)[:, 0]
    off = (best - every).abs().max()
    print(f"the best {K} of some {len(edges.source) // len(query)} edges: off attention by {off:.1e}")
    print(f"the same by its name: {(by_name - best).abs().max():.1e}")
    print(f"with k above every degree: off attention by {(all_of_them - every).abs().max():.1e}")
