"""A small model of ours for CPUs: Wonder3D's network in pixels, shown drawings of the posed body."""

from __future__ import annotations

import math

from torch import nn

from hgg_pyg.io.extras import import_extra
from hgg_pyg.multiview.codecs import PixelCodec
from hgg_pyg.multiview.embedding import ThumbnailEmbedder
from hgg_pyg.multiview.model import MultiViewModel
from hgg_pyg.multiview.network import LABEL, multi_view_unet
from hgg_pyg.multiview.posed_body import GUIDES
from hgg_pyg.multiview.views import QUARTERS, ViewsConfig

VIEWS = ViewsConfig(
    azimuths=QUARTERS,
    label_elevations=(0.0, 0.0, 0.0, 0.0),
    label_azimuths=tuple(math.radians(azimuth) for azimuth in QUARTERS),
    projection="pinhole",
    size=64,
    guided=True,
    steps=4,
    eta=0.0,
)


def micro_model(
    views: ViewsConfig = VIEWS, channels: tuple[int, ...] = (32, 64, 96), groups: int = 8
) -> MultiViewModel:
    """Untrained, with random weights of torch's generator.

    It says what is to be added to a first guess of the picture (`MultiViewModel.guesses`) rather than its noise: where
    the input nearly decides the picture, that is learnt in minutes. Untrained it draws the guess.

    Args:
        views: that it draws.
        channels: of the U-Net from the finest pixels on; attention is at all sizes but the first.
        groups: of its normalisations, a divisor of all channels.
    """
    codec, embedder, deeper = PixelCodec(), ThumbnailEmbedder(), len(channels) - 1
    guides = GUIDES * 4 if views.guided else 0
    unet = multi_view_unet(
        {
            "sample_size": views.size // 2,
            "in_channels": 2 * codec.channels + guides,
            "out_channels": codec.channels,
            "block_out_channels": channels,
            "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * deeper),
            "up_block_types": (*("CrossAttnUpBlock2D",) * deeper, "UpBlock2D"),
            "layers_per_block": 1,
            "norm_num_groups": groups,
            "attention_head_dim": 4,  # diffusers' name for the number of heads
            "cross_attention_dim": embedder.channels,
            "class_embed_type": "projection",
            "projection_class_embeddings_input_dim": 2 * LABEL,
        }
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    scheduler = import_extra("diffusers", "diffusion", "preset micro").DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    return MultiViewModel(unet, codec, embedder, scheduler, views)
