"""Somebody who was filmed, as pages look at them: computed when it is first asked for, by one thread at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphs import GraphSpec
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body import BodyModel, PosedBody
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clip_input import graph_of
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.mending import mended_source
from hgg_pyg.evaluation.inspection import AttentionLayers, Change, attention_of, read_out_changes
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.types import Gaussians, UserError

_KEPT = 4  # frames whose Gaussians are kept


@dataclass(frozen=True, eq=False)
class ViewedSubject:
    """A capture, its graph over T frames, and what a network makes of it. Frames are positions in the capture."""

    source: FrameSource
    spec: GraphSpec
    frames: tuple[int, ...]  # T, joined in the graph; the avatar is made of the first
    network: HGGNet | None = None  # in evaluation mode, on the CPU

    @property
    def capture(self) -> Capture:
        return self.source.capture

    @property
    def body(self) -> BodyModel:
        return self.source.body

    @cached_property
    def _predict(self):
        return lru_cache(_KEPT)(self.source.predict)

    @torch.no_grad()
    def gaussians(self, frame: int) -> Gaussians:
        """The per-frame network's Gaussians of a frame, in the world. [M], 0 where nobody is seen

        Raises:
            UserError: a file is broken.
        """
        return self._predict(frame)

    @torch.no_grad()
    def posed(self, frame: int) -> PosedBody:
        """The body in a frame. T = 1"""
        return self.body.pose(self.capture.poses[[frame]])

    @torch.no_grad()
    def joints(self, frame: int) -> Tensor:
        """Its joints in a frame: at rest, and moved by the skeleton. [J, 3] metres"""
        return self.body.posed_joints(self.capture.poses[[frame]])[0]

    @cached_property
    def graph(self) -> HeteroData:
        """The graph of the T frames.

        Raises:
            UserError: a file is broken, or one of the frames has no Gaussians.
        """
        model = self.network or DirectBinding()
        source = mended_source(self.source, self.frames, model)
        return graph_of(source, self.frames, self.spec, model)

    @cached_property
    def direct(self) -> BoundAvatar:
        """The first frame's Gaussians as they are, bound to the body."""
        return DirectBinding().avatar(self.graph)

    @cached_property
    @torch.no_grad()
    def refined(self) -> BoundAvatar:
        """The same after the network's read-out.

        Raises:
            UserError: there is no network.
        """
        if self.network is None:
            raise UserError("there is no network here: open the folder of a run, or name one by --run")
        return self.network.avatar(self.graph)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What the read-out did to each Gaussian of the avatar; nothing without a network."""
        if self.network is None:
            return ()
        return read_out_changes(self.direct.gaussians, self.refined.gaussians)

    @cached_property
    def attention(self) -> AttentionLayers:
        """The weights of all layers; none without a network."""
        if self.network is None:
            return AttentionLayers({}, {})
        return attention_of(self.network, self.graph)
