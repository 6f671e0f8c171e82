"""A training run that is looked at again: its network, and the captures, body and per-frame network that go with it."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from graphs import find_relation
from hgg_pyg.attention import get_variant
from hgg_pyg.backbones import Backbone, make_backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.config import flat_config
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import CaptureSet, load_body_for, open_captures
from hgg_pyg.data.frames import FrameSource, frame_sources, input_frames
from hgg_pyg.data.usable import some_usable
from hgg_pyg.evaluation.inspection.subject import RunSubject
from hgg_pyg.io.tensors import read_metadata
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.saved import WEIGHTS_FILE
from hgg_pyg.multiview import behind_front
from hgg_pyg.training.inputs import INPUTS_FILE, read_inputs
from hgg_pyg.training.run import CONFIG_FILE, MODEL_FOLDER, RUN_SETTINGS, TrainConfig, check_settings, read_config
from hgg_pyg.types import UserError

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class TrainedRun:
    """Everything that evaluating a run needs, checked to fit together."""

    config: TrainConfig
    model: HGGNet  # on the device, in evaluation mode
    data: Path
    body: BodyModel
    backbone: Backbone

    @cached_property
    def captures(self) -> CaptureSet:
        """All of `data`, opened when they are first asked for.

        Raises:
            UserError: they cannot be opened.
        """
        config = self.config
        views = config.clip.input_views
        return open_captures(self.data, config.image_size, self.body, config.crop, config.protocol, views)

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


def open_run(
    run: Path,
    data: Path | None = None,
    device: torch.device | None = None,
    body: Path | None = None,
    cache: Path | None = None,
) -> TrainedRun:
    """Open a run and captures for it. Files that are others than those it was trained on are used, with a warning.

    Args:
        run: folder of a training run.
        data: folder of captures; where the run found them when none is given.
        device: where the networks go; the CPU by default.
        body: body model file or its folder; the run's own when none is given.
        cache: folder of per-frame Gaussians; the run's own when none is given.

    Raises:
        UserError: no run, no captures, another body or per-frame network, a way of attention that cannot run here, or
            files that are no longer where the run found them.
    """
    device = device or torch.device("cpu")
    config = read_config(run)
    places = {"data": data, "body": body, "cache": cache}
    given = {name: path for name, path in places.items() if path is not None}
    config = replace(config, **given)
    _find_files(run, config, given)
    data = config.captures
    body_model = load_body_for(data, config.body)
    backbone = behind_front(make_backbone(config.backbone, device), config.front, config.cache, device)
    _warn_of_others(run, body_model, backbone)
    model = load_network(run, body_model, backbone, device)
    return TrainedRun(config, model, data, body_model, backbone)


def _find_files(run: Path, config: TrainConfig, given: Collection[str]) -> None:
    """Refuse to look where the run's files are no longer, and name the option that says where they are now."""
    resume = "train --resume with it keeps another place"
    wanted = {
        "data": (config.captures, "--data says where they are now"),
        "body": (config.body, "--body says where it is now"),
    }
    if config.backbone.name == "lgm":
        wanted["backbone.lgm.checkpoint"] = (config.backbone.lgm.checkpoint, resume)
    if config.backbone.name == "ply":
        wanted["backbone.ply.folder"] = (config.backbone.ply.folder, resume)
    if config.front.name != "none":
        wanted["front.checkpoint"] = (config.front.checkpoint, resume)
    for name, (path, advice) in wanted.items():
        if name not in given and path is not None and not path.exists():
            found = "found nothing" if path.is_absolute() else f"found nothing in {Path.cwd()}"
            raise UserError(f"{path}: expected what {run / CONFIG_FILE} names as {name}, {found}: {advice}")
    if "cache" not in given and not config.cache.exists():
        log.info("%s: no such folder: per-frame Gaussians are computed anew; --cache names another", config.cache)


def _warn_of_others(run: Path, body: BodyModel, backbone: Backbone) -> None:
    if inputs := read_inputs(run):
        for key, now in (("body", body.digest), ("network", backbone.contents)):
            if inputs[key] != now:
                log.warning("%s: %s: the run was trained on %s, found %s", run / INPUTS_FILE, key, inputs[key], now)


def _check_same_network(run: Path, config: TrainConfig, saved: ModelConfig) -> None:
    """Refuse a saved network that is not of the run's configuration: a file was changed since."""
    given = ("in_channels", "num_vertices", "num_joints", "relations")  # by what the network was made for
    wanted = replace(config.model, **{name: getattr(saved, name) for name in given})
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
    model, config = HGGNet.load(run / MODEL_FOLDER), read_config(run)
    kept = read_metadata(run / MODEL_FOLDER / WEIGHTS_FILE).get(RUN_SETTINGS, "{}")
    check_settings(run, json.loads(kept), config, f"{MODEL_FOLDER}/{WEIGHTS_FILE}")
    try:
        get_variant(model.config.backend, device.type, torch.float32)
    except ValueError as error:
        raise UserError(f"{run / MODEL_FOLDER / 'model.json'}: {error}") from None
    if body.num_vertices != model.config.num_vertices:
        found = f"the body has {body.num_vertices} vertices"
        raise UserError(f"{run}: expected a body of {model.config.num_vertices} vertices, {found}")
    features = backbone.feature_dim + config.graph.extra_features
    if features != model.config.in_channels:
        found = f"the per-frame network gives {features}"
        raise UserError(f"{run}: expected {model.config.in_channels} features per Gaussian, {found}")
    _check_same_network(run, config, model.config)
    return model.to(device).eval()


def load_subject(
    run: Path,
    data: Path | None = None,
    subject: str | None = None,
    body: Path | None = None,
    cache: Path | None = None,
) -> RunSubject:
    """Load a run and open one of the test subjects, with the input frames that evaluation gives it.

    Args:
        run: folder of a training run.
        data: folder of captures; the run's own when none is given.
        subject: its name; the first test subject when none is given.
        body: body model file or its folder; the run's own when none is given.
        cache: folder of per-frame Gaussians; the run's own when none is given.

    Raises:
        UserError: as `open_run`, or no such subject.
    """
    trained = open_run(run, data, body=body, cache=cache)
    source = trained.test_sources(subject, count=1)[0]
    frames = input_frames(source, trained.config.clip.frames, trained.config.clip.choose)
    return RunSubject(trained.model, source, trained.config.graph, frames)
