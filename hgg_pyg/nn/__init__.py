"""The layers of the Human Gaussian Graph as PyG message passing. They see tensors and edges only."""

from hgg_pyg.nn.attention_conv import AttentionConv
from hgg_pyg.nn.block import GraphBlock
from hgg_pyg.nn.conv_choice import ConvChoice
from hgg_pyg.nn.fused import FusedInterConv, FusedIntraConv, FusedReadoutConv, plain
from hgg_pyg.nn.inter import InterConv
from hgg_pyg.nn.intra import IntraConv
from hgg_pyg.nn.readout import ReadoutConv

__all__ = [
    "AttentionConv",
    "ConvChoice",
    "FusedInterConv",
    "FusedIntraConv",
    "FusedReadoutConv",
    "GraphBlock",
    "InterConv",
    "IntraConv",
    "ReadoutConv",
    "plain",
]
