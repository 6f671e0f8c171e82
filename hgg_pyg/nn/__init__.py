"""The layers of the Human Gaussian Graph as PyG message passing. They see tensors and edges only."""

from hgg_pyg.nn.block import GraphBlock
from hgg_pyg.nn.inter import InterConv
from hgg_pyg.nn.intra import IntraConv
from hgg_pyg.nn.pyg import PyGConv
from hgg_pyg.nn.readout import ReadoutConv

__all__ = ["GraphBlock", "InterConv", "IntraConv", "PyGConv", "ReadoutConv"]
