"""The transformer block of Wonder3D (Long et al. 2024, section 4): attention across views, then across domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """How a batch is made up: domains outermost (normals, then colours), then groups of one person, views innermost."""

    views: int
    domains: int = 1

    def join_views(self, tokens: Tensor) -> Tensor:
        """[D G V, N, C] -> [D G, V N, C]: the pixels of all views of a person side by side."""
        return tokens.unflatten(0, (-1, self.views)).flatten(1, 2)

    def part_views(self, tokens: Tensor) -> Tensor:
        """The way back from `join_views`."""
        return tokens.unflatten(1, (self.views, -1)).flatten(0, 1)

    def join_domains(self, tokens: Tensor) -> Tensor:
        """[D B, N, C] -> [B, D N, C]: the pixels of a view's normals and colours side by side."""
        return tokens.unflatten(0, (self.domains, -1)).transpose(0, 1).flatten(1, 2)

    def part_domains(self, tokens: Tensor) -> Tensor:
        """The way back from `join_domains`."""
        return tokens.unflatten(1, (self.domains, -1)).transpose(0, 1).flatten(0, 1)


class MultiViewBlock(nn.Module):
    """A transformer block of Stable Diffusion's U-Net whose self-attention sees all views, with one more attention.

    x += attn1(norm1(x)) over the pixels of all views; x += attn_joint_mid(norm_joint_mid(x)) over those of both domains
    of a view, if there are two; x += attn2(norm2(x), token); x += ff(norm3(x)). Without a mask, tokens that attend to
    each other give what queries of one view with keys of all views give. The new attention starts as zero.

    Args:
        block: diffusers' `BasicTransformerBlock`, whose parts are kept under their names.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1, self.attn1, self.norm2, self.attn2 = block.norm1, block.attn1, block.norm2, block.attn2
        self.norm3, self.ff = block.norm3, block.ff
        width, heads = block.dim, block.num_attention_heads
        self.norm_joint_mid = nn.LayerNorm(width)
        self.attn_joint_mid = type(block.attn1)(
            query_dim=width, heads=heads, dim_head=block.attention_head_dim, bias=False
        )
        nn.init.zeros_(self.attn_joint_mid.to_out[0].weight)
        nn.init.zeros_(self.attn_joint_mid.to_out[0].bias)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        timestep: Tensor | None = None,
        cross_attention_kwargs: dict[str, Layout] | None = None,
        class_labels: Tensor | None = None,
        added_cond_kwargs: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """[D G V, N, C] -> the same; what diffusers hands to its own block, with the `layout` among the keywords."""
        assert cross_attention_kwargs is not None
        layout, x = cross_attention_kwargs["layout"], hidden_states
        x = x + layout.part_views(self.attn1(layout.join_views(self.norm1(x))))
        if layout.domains > 1:
            x = x + layout.part_domains(self.attn_joint_mid(layout.join_domains(self.norm_joint_mid(x))))
        x = x + self.attn2(self.norm2(x), encoder_hidden_states=encoder_hidden_states)
        return x + self.ff(self.norm3(x))


def multi_view_reference(attention: Any, tokens: Tensor, views: int) -> Tensor:
    """What `attn1` of a `MultiViewBlock` computes, view by view: queries of one, keys and values of all of its group.

    Args:
        attention: diffusers' `Attention`.
        tokens: [G V, N, C]
        views: V
    """
    found = []
    for index in range(len(tokens)):
        group = tokens[index - index % views :][:views].flatten(0, 1)[None]
        found.append(attention(tokens[index : index + 1], encoder_hidden_states=group))
    return torch.cat(found)
