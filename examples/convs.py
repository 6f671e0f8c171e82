"""The three convs and a fused twin on random tensors: no data, no body. Run it from anywhere: python convs.py"""

import torch

from hgg_pyg.nn import FusedIntraConv, InterConv, IntraConv, ReadoutConv

gaussians, queries = torch.randn(900, 32), torch.randn(50, 64)  # 900 Gaussians of all frames, one query per vertex
binds = torch.stack([torch.arange(900), torch.randint(50, (900,))])  # Gaussian to vertex; sources, targets as in PyG
near = torch.randint(50, (2, 400))  # vertex to vertex

intra, inter, readout = IntraConv((32, 64), 64, heads=4), InterConv(64, 64, heads=4), ReadoutConv((64, 32), 64, heads=4)
gathered, (_, weights) = intra((gaussians, queries), binds, return_attention_weights=True)  # [50, 64], [900, 4]
spread = inter(gathered, near)  # [50, 64]
refined = readout((spread, gaussians), binds.flip(0))  # [900, 64]

fused = FusedIntraConv((32, 64), 64, heads=4)  # one pass over the edges instead of messages
fused.load_state_dict(intra.state_dict())
difference = (fused((gaussians, queries), binds) - gathered).abs().max()
print(f"{tuple(refined.shape)}, fused and plain differ by at most {difference:.1e}")
