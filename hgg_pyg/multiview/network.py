"""Wonder3D's U-Net: Stable Diffusion's, with blocks that see all views and both domains, and labels of cameras."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hgg_pyg.io.extras import import_extra
from hgg_pyg.multiview.attention import Layout, MultiViewBlock
from hgg_pyg.types import UserError

LABEL = 5  # numbers that say which view and domain: elevation, elevation and azimuth from the input, normals, colours
PUBLIC = {  # what of diffusers' defaults, which are those of Stable Diffusion 1.x, is not so in the public network
    "in_channels": 8,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 2 * LABEL,
    "sample_size": 32,
}
# Of Wonder3D's own options: which values mean what is written here. Others are other networks.
_OURS = {
    "multiview_attention": True,
    "sparse_mv_attention": False,
    "mvcd_attention": False,
    "cd_attention_last": False,
    "cd_attention_mid": True,
}
# What says nothing of the architecture, or only how weights start. A stage-1 config has cd_attention_mid false.
_NO_MATTER = {"num_views", "joint_attention", "joint_attention_twice", "zero_init_conv_in",
              "zero_init_camera_projection", "camera_embedding_type"}  # fmt: skip


def multi_view_unet(options: Mapping[str, Any], where: str = "unet") -> Any:
    """diffusers' `UNet2DConditionModel` with a `MultiViewBlock` in the place of every transformer block.

    Args:
        options: of a config.json of Wonder3D's, of diffusers' class, or some of them.
        where: they come from, for messages.

    Raises:
        UserError: an option is not known, or asks for another kind of attention.
    """
    kind = import_extra("diffusers", "diffusion", where).UNet2DConditionModel
    known, given = inspect.signature(kind.__init__).parameters, {}
    for name, value in options.items():
        if name in known:
            given[name] = _plain_blocks(value)
        elif name in _OURS:
            if value != _OURS[name] and name != "cd_attention_mid":
                raise UserError(f"{where}: {name}: expected {_OURS[name]}, found {str(value)[:40]}")
        elif not name.startswith("_") and name not in _NO_MATTER:
            raise UserError(f"{where}: expected options of Wonder3D's U-Net, found {name[:60]!r}")
    try:
        unet = kind(**given)
    except (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{where}: expected options that make a U-Net ({said})") from None
    for module in list(unet.modules()):
        blocks = getattr(module, "transformer_blocks", None)
        if isinstance(blocks, nn.ModuleList):
            for index, block in enumerate(blocks):
                blocks[index] = MultiViewBlock(block)
    return unet


def _plain_blocks(value: Any) -> Any:
    """An option by diffusers' names of blocks: `CrossAttnDownBlock2D` for Wonder3D's `CrossAttnDownBlockMV2D`."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain_blocks, value))
    return value.replace("MV2D", "2D") if isinstance(value, str) else value


def predict(unet: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, labels: Tensor, layout: Layout) -> Tensor:
    """What the network says of noisy latents with their conditions.

    Args:
        unet: of `multi_view_unet`.
        noisy: [B, C, h, w], the latents' channels, then those of the conditions; B = D G V.
        time: [B] steps of the noise.
        tokens: [B, 1, E] the embedded input image.
        labels: [B, 5], see `embed_labels`.
        layout: of the batch.

    Returns:
        [B, C', h, w]
    """
    return unet(
        noisy,
        time,
        encoder_hidden_states=tokens,
        class_labels=embed_labels(labels).to(noisy.dtype),
        cross_attention_kwargs={"layout": layout},
    ).sample


def embed_labels(labels: Tensor) -> Tensor:
    """The sines of a label, then its cosines. [..., 5] -> [..., 10]

    A label is (0, elevation and azimuth from the input view in radians, is normals, is colours).
    """
    return torch.cat([labels.sin(), labels.cos()], -1)


def is_joint(name: str) -> bool:
    """Whether a weight is one of the attention across domains, which the joint stage trains alone."""
    return ".attn_joint_mid." in name or ".norm_joint_mid." in name
