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
from hgg_pyg.refine import RefineConfig, Refined, refine_pass
from hgg_pyg.types import BodyPose, Gaussians, UserError

_KEPT = 4  # frames whose Gaussians are kept


@dataclass(frozen=True, eq=False)
class ViewedSubject:
    """A capture, its graph over T frames, and what a network makes of it. Frames are positions in the capture."""

    source: FrameSource
    spec: GraphSpec
    frames: tuple[int, ...]  # T, joined in the graph; the avatar is made of the first
    network: HGGNet | None = None  # in evaluation mode, on the CPU
    fit: RefineConfig | None = None  # after the forward pass, if asked for

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
        return self._graph(self._mended)

    def _graph(self, source: FrameSource) -> HeteroData:
        return graph_of(source, self.frames, self.spec, self.network or DirectBinding())

    @cached_property
    def _mended(self) -> FrameSource:
        return mended_source(self.source, self.frames, self.network or DirectBinding())

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
    @torch.no_grad()
    def fitted(self) -> Refined:
        """The avatar after the fit, and the poses of the T frames that it found. A bar shows how far it is.

        Raises:
            UserError: no fit was asked for, or a file is broken.
        """
        if self.fit is None:
            raise UserError("no fit was asked for: --refine SECONDS does")
        model = self.network or DirectBinding()
        first = self.direct if self.network is None else self.refined

        def forward(source: FrameSource) -> BoundAvatar:
            return model.avatar(self._graph(source))

        return refine_pass(first, forward, self._mended, self.frames, self.fit, not model.mend, progress=True)

    def fitted_pose(self, frame: int) -> BodyPose:
        """What the fit found, of a frame that it saw, else the capture's. T = 1"""
        if frame in self.frames:
            return self.fitted.poses[[self.frames.index(frame)]]
        return self.capture.poses[[frame]]

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
