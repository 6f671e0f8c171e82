"""A trained run and one of its test subjects, as evaluation sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch_geometric.data import HeteroData

from graphs import GraphSpec
from hgg_pyg.attention import get_variant
from hgg_pyg.backbones import make_backbone
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.clips import clip_graph, even_frames
from hgg_pyg.data.frames import FrameSource, frame_sources
from hgg_pyg.evaluation import input_range
from hgg_pyg.model import HumanGaussianGraph
from hgg_pyg.run import MODEL_FOLDER, read_config
from hgg_pyg.types import UserError


@dataclass(frozen=True)
class RunSubject:
    """A network in evaluation mode and the capture that it is looked at on."""

    model: HumanGaussianGraph
    source: FrameSource
    spec: GraphSpec
    frames: tuple[int, ...]  # T input frames, by position in the capture; the first is t0

    @cached_property
    def graph(self) -> HeteroData:
        """The graph of the input frames."""
        poses = self.source.capture.poses[list(self.frames)]
        predicted = [self.source.predict(frame) for frame in self.frames]
        body = self.source.body
        return clip_graph(predicted, body.pose(poses), body.faces, poses.betas, self.spec)


def load_subject(run: Path, data: Path | None = None, subject: str | None = None) -> RunSubject:
    """Load a run and open one of the test subjects, with the input frames that evaluation gives it.

    Args:
        run: folder of a training run.
        data: folder of captures; the run's own when none is given.
        subject: its name; the first test subject when none is given.

    Raises:
        UserError: no run, no captures, another body, no such subject, or a way of attention that cannot run here.
    """
    trained = read_config(run)
    model = HumanGaussianGraph.load(run / MODEL_FOLDER).eval()
    try:
        get_variant(model.config.attention, "cpu", torch.float32)
    except ValueError as error:
        raise UserError(f"{run / MODEL_FOLDER / 'model.json'}: {error}") from None
    data = data or trained.captures
    body = load_body_for(data, trained.body)
    if body.num_vertices != model.config.num_vertices:
        found = f"the body has {body.num_vertices} vertices"
        raise UserError(f"{run}: expected a body of {model.config.num_vertices} vertices, {found}")
    test = open_captures(data, trained.image_size, body, trained.crop, trained.protocol).test
    names = [capture.name for capture in test]
    if not names:
        raise UserError(f"{data}: expected test subjects, found none")
    if subject is not None and subject not in names:
        raise UserError(f"--subject: expected a test subject of {data} ({', '.join(names[:20])}), found {subject!r}")
    capture = test[0 if subject is None else names.index(subject)]
    backbone = make_backbone(trained.backbone)
    if model.config.feature_dim != backbone.feature_dim:
        found = f"the backbone gives {backbone.feature_dim}"
        raise UserError(f"{run}: expected {model.config.feature_dim} features a Gaussian, {found}")
    source = frame_sources((capture,), trained.clip.input_views, backbone, body, trained.cache)[0]
    frames = even_frames(0, input_range(capture), trained.clip.frames)
    return RunSubject(model, source, trained.graph, frames)
