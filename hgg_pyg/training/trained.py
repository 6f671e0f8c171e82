"""A training run that is looked at again: its network, and the captures, body and per-frame network that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from graphs import find_relation
from hgg_pyg.attention import get_variant
from hgg_pyg.backbones import Backbone, make_backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.config import flat_config
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import CaptureSet, load_body_for, open_captures
from hgg_pyg.data.clips import even_frames, input_range
from hgg_pyg.data.frames import FrameSource, frame_sources
from hgg_pyg.data.usable import some_usable
from hgg_pyg.evaluation.inspection.subject import RunSubject
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.training.run import CONFIG_FILE, MODEL_FOLDER, TrainConfig, read_config
from hgg_pyg.types import UserError


@dataclass(frozen=True)
class TrainedRun:
    """Everything that evaluating a run needs, checked to fit together."""

    config: TrainConfig
    model: HGGNet  # on the device, in evaluation mode
    data: Path
    captures: CaptureSet
    body: BodyModel
    backbone: Backbone

    def sources(self, captures: Sequence[Capture]) -> tuple[FrameSource, ...]:
        """Per-frame Gaussians of some of the captures, from the views that the run was trained on."""
        return frame_sources(captures, self.config.clip.input_views, self.backbone, self.body, self.config.cache)

    def test_sources(self, subject: str | None = None, count: int | None = None) -> tuple[FrameSource, ...]:
        """Those of the test subjects, without the frames that have none: of all, of one by name, or of the first few.

        Raises:
            UserError: there are none, or none of that name, or no frame of them can be used.
        """
        names = [capture.name for capture in self.captures.require("test", self.data)]
        if subject is not None and subject not in names:
            shown = ", ".join(names[:20])
            raise UserError(f"--subject: expected a test subject of {self.data} ({shown}), found {subject!r}")
        sources = self.sources([c for c in self.captures.test if subject in (None, c.name)])
        return some_usable(sources, count=count)


def open_run(run: Path, data: Path | None = None, device: torch.device | None = None) -> TrainedRun:
    """Open a run and captures for it.

    Args:
        run: folder of a training run.
        data: folder of captures; the run's own when none is given.
        device: where the networks go; the CPU by default.

    Raises:
        UserError: no run, no captures, another body or per-frame network, or a way of attention that cannot run here.
    """
    device = device or torch.device("cpu")
    config = read_config(run)
    data = data or config.captures
    body = load_body_for(data, config.body)
    backbone = make_backbone(config.backbone, device)
    model = load_network(run, body, backbone, device)
    captures = open_captures(data, config.image_size, body, config.crop, config.protocol, config.clip.input_views)
    return TrainedRun(config, model, data, captures, body, backbone)


def _check_same_network(run: Path, config: TrainConfig, saved: ModelConfig) -> None:
    """Refuse a saved network that is not of the run's configuration: a file was changed since."""
    wanted = replace(
        config.model, in_channels=saved.in_channels, num_vertices=saved.num_vertices, relations=saved.relations
    )
    before, now = flat_config(wanted), flat_config(saved)
    before["relations"] = tuple(find_relation(name)[0] for name in config.graph.relations)
    now["relations"] = tuple(relation[1] for relation in saved.relations)
    for name in now:
        if before[name] != now[name]:
            found = f"{MODEL_FOLDER}/model.json says {now[name]}, {CONFIG_FILE} {before[name]}"
            raise UserError(f"{run}: {name}: expected the network that was trained, found files that differ: {found}")


def load_network(run: Path, body: BodyModel, backbone: Backbone, device: torch.device) -> HGGNet:
    """A run's network, in evaluation mode.

    Raises:
        UserError: no network, one that is not of the run's configuration, one for another body or per-frame network, or
            one that cannot run on the device.
    """
    model = HGGNet.load(run / MODEL_FOLDER)
    try:
        get_variant(model.config.backend, device.type, torch.float32)
    except ValueError as error:
        raise UserError(f"{run / MODEL_FOLDER / 'model.json'}: {error}") from None
    if body.num_vertices != model.config.num_vertices:
        found = f"the body has {body.num_vertices} vertices"
        raise UserError(f"{run}: expected a body of {model.config.num_vertices} vertices, {found}")
    if backbone.feature_dim != model.config.in_channels:
        found = f"the per-frame network gives {backbone.feature_dim}"
        raise UserError(f"{run}: expected {model.config.in_channels} features per Gaussian, {found}")
    _check_same_network(run, read_config(run), model.config)
    return model.to(device).eval()


def load_subject(run: Path, data: Path | None = None, subject: str | None = None) -> RunSubject:
    """Load a run and open one of the test subjects, with the input frames that evaluation gives it.

    Args:
        run: folder of a training run.
        data: folder of captures; the run's own when none is given.
        subject: its name; the first test subject when none is given.

    Raises:
        UserError: no run, no captures, another body, no such subject, or a way of attention that cannot run here.
    """
    trained = open_run(run, data)
    source = trained.test_sources(subject, count=1)[0]
    frames = even_frames(0, input_range(source.capture), trained.config.clip.frames)
    return RunSubject(trained.model, source, trained.config.graph, frames)
