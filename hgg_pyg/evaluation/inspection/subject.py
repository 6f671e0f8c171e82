"""A trained run and one of its test subjects, as evaluation sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch_geometric.data import HeteroData

from graphs import GraphSpec
from hgg_pyg.data.clip_input import graph_of
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.mending import mended_source
from hgg_pyg.model.network import HGGNet


@dataclass(frozen=True)
class RunSubject:
    """A network in evaluation mode and the capture that it is looked at on."""

    model: HGGNet
    source: FrameSource
    spec: GraphSpec
    frames: tuple[int, ...]  # T input frames, by position in the capture; the first is t0

    @cached_property
    def graph(self) -> HeteroData:
        """The graph of the input frames."""
        source = mended_source(self.source, self.frames, self.model)
        return graph_of(source, self.frames, self.spec, self.model)
