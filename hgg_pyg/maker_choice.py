"""Which network turns a capture into an avatar, and what of the capture it sees: options of more than one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.config import ClipConfig, FrameCount, Pixels, ViewCount
from hgg_pyg.data.capture_set import SubjectFolder, find_subjects, load_body_for
from hgg_pyg.data.frames import FrameSource, check_views
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.making import Maker
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.training.run import read_config
from hgg_pyg.training.trained import load_network
from hgg_pyg.types import UserError

_IMAGE_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class MakerOptions:
    """With which weights, and from what of a capture."""

    run: Path | None = None
    """folder of a training run whose network to use; by default the weights that come with hgg_pyg"""
    direct: bool = False
    """take the Gaussians of one frame as they are, without a network: direct binding, to compare with"""
    subject: str | None = None
    """name of the subject's folder, where there are several"""
    body: Path | None = None
    """body model file of SMPL or SMPL-X (.npz, .pkl) or its folder; by default $HGG_BODY_MODELS, else the open body"""
    image_size: Pixels | None = None
    """longest side of the images in pixels, larger ones are shrunk to it; by default the run's, else 512"""
    crop: bool | None = None
    """crop each image to a square around the person; by default as the run does, else not"""
    frames: FrameCount | None = None
    """frames that are joined, evenly spaced; by default the run's, else 8"""
    views: ViewCount | None = None
    """cameras that are looked through, evenly spread; by default the run's, else 4, or as many as there are"""

    def __post_init__(self) -> None:
        if self.direct and self.run is not None:
            raise ValueError("direct: expected it without --run, found both: direct binding has no network")


def open_maker(data: Path, options: MakerOptions) -> tuple[Maker, FrameSource]:
    """A network for a capture, and the capture as that network sees it.

    Args:
        data: folder of a subject, or of several.
        options: with which weights, and from what.

    Raises:
        UserError: no capture, no such subject, one that cannot be read, a run that is none or is for another body.
    """
    trained = None if options.run is None else read_config(options.run)
    clip = ClipConfig() if trained is None else trained.clip
    subject = choose_subject(data, options.subject)
    body = load_body_for(subject.folder, options.body or (trained.body if trained else None))
    device = PartialState().device or torch.device("cpu")
    backbone = make_backbone(BackboneConfig() if trained is None else trained.backbone, device)
    size = options.image_size or (trained.image_size if trained else _IMAGE_SIZE)
    crop = options.crop if options.crop is not None else (trained is not None and trained.crop)
    capture = make_capture(subject.folder, subject.layout, body, size, crop)
    count = options.views or (clip.input_views if trained else min(clip.input_views, len(capture.cameras)))
    check_views(backbone, count)
    source = FrameSource(capture, spread_cameras(capture, count), backbone, body, Path("runs/cache"))
    frames = options.frames or clip.frames
    if options.direct:
        return Maker(DirectBinding(), GraphSpec(), backbone, body, frames, "direct binding"), source
    if trained is not None and options.run is not None:
        model = load_network(options.run, body, backbone, device)
        return Maker(model, trained.graph, backbone, body, frames, f"run {options.run.resolve().name}"), source
    raise UserError("--run: expected the folder of a training run, found none")


def choose_subject(data: Path, name: str | None) -> SubjectFolder:
    """The subject of a folder that is meant: the only one, or the one of this name.

    Raises:
        UserError: there is none, or no such one.
    """
    subjects = find_subjects(data)
    if name is None and len(subjects) == 1:
        name = next(iter(subjects))
    if name is None or name not in subjects:
        listed = ", ".join(list(subjects)[:20]) + (", ..." if len(subjects) > 20 else "")
        raise UserError(f"--subject: expected one of {data} ({listed}), found {'none' if name is None else repr(name)}")
    return subjects[name]
