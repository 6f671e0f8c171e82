"""Which network turns a capture into an avatar, and what of the capture it sees: options of more than one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState

from graphs import GraphSpec
from hgg_pyg.backbones import make_backbone
from hgg_pyg.config import FrameCount, Pixels, ViewCount
from hgg_pyg.data.capture_set import SubjectFolder, find_subjects, load_body_for
from hgg_pyg.data.frames import FrameSource, check_views
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.making import Maker
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.multiview import behind_front
from hgg_pyg.training.run import TrainConfig, read_config
from hgg_pyg.training.shipped import SHIPPED
from hgg_pyg.training.trained import load_network
from hgg_pyg.types import UserError

CACHE = Path("runs/cache")  # of per-frame Gaussians, where captures of users' own are concerned
_IMAGE_SIZE = 512
_NEEDS_RUN = (
    "the weights that come with hgg_pyg are for the open body of 24 joints; python -m hgg_pyg.train makes a run, "
    "and --direct needs none"
)


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
    """longest side of the images in pixels, larger ones are shrunk to it; by default 512, or the one size that a run
    was trained on"""
    crop: bool | None = None
    """crop each image to a square around the person; by default as a run did that was trained on one size, else not"""
    frames: FrameCount | None = None
    """frames that are joined, evenly spaced; by default 8, or the run's"""
    views: ViewCount | None = None
    """cameras that are looked through, evenly spread; by default 4 or as many as there are, or the one number that a
    run was trained on"""

    def __post_init__(self) -> None:
        if self.direct and self.run is not None:
            raise ValueError("direct: expected it without --run, found both: direct binding has no network")


@dataclass(frozen=True)
class Opened:
    """A network, and how it wants to see captures."""

    maker: Maker
    image_size: int  # pixels
    crop: bool
    views: int
    fewer: bool  # as many cameras as there are will do

    def source(self, subject: SubjectFolder) -> FrameSource:
        """A capture as the network sees it.

        Raises:
            UserError: it cannot be read, or has too few cameras.
        """
        body, backbone = self.maker.body, self.maker.backbone
        capture = make_capture(subject.folder, subject.layout, body, self.image_size, self.crop)
        there = len(capture.cameras)
        count = min(self.views, there) if self.fewer else self.views
        if count > there:
            raise UserError(f"--views: expected at most {there}, the cameras of {subject.folder}, found {count}")
        check_views(backbone, count)
        return FrameSource(capture, spread_cameras(capture, count), backbone, body, CACHE)


def open_network(folder: Path, options: MakerOptions) -> Opened:
    """A network for the captures of a folder.

    Args:
        folder: of a subject, or of several with poses of one kind.
        options: with which weights, and from what; `subject` is not looked at.

    Raises:
        UserError: no capture, a run that is none or is for another body.
    """
    run = options.run or (None if options.direct else SHIPPED)
    trained = TrainConfig() if run is None else read_config(run)
    free = run is None or bool(trained.variety)  # to take images as they come
    body = load_body_for(folder, options.body or trained.body)
    if run is SHIPPED and not (body.is_open and body.num_joints == 24):
        raise UserError(f"--run: expected one trained on {body.name}, found none: {_NEEDS_RUN}")
    device = PartialState().device or torch.device("cpu")
    backbone = behind_front(make_backbone(trained.backbone, device), trained.front, CACHE, device)
    frames = options.frames or trained.clip.frames
    if run is None:
        maker = Maker(DirectBinding(), GraphSpec(), backbone, body, frames, "direct binding")
    else:
        model = load_network(run, body, backbone, device)
        name = "shipped with hgg_pyg" if run is SHIPPED else f"run {run.resolve().name}"
        maker = Maker(model, trained.graph, backbone, body, frames, name, choose=trained.clip.choose)
    return Opened(
        maker=maker,
        image_size=options.image_size or (_IMAGE_SIZE if free else trained.image_size),
        crop=options.crop if options.crop is not None else not free and trained.crop,
        views=options.views or trained.clip.input_views,
        fewer=free and options.views is None,
    )


def open_maker(data: Path, options: MakerOptions) -> tuple[Maker, FrameSource]:
    """A network for a capture, and the capture as that network sees it.

    Args:
        data: folder of a subject, or of several.
        options: with which weights, and from what.

    Raises:
        UserError: no capture, no such subject, one that cannot be read, a run that is none or is for another body.
    """
    subject = choose_subject(data, options.subject)
    opened = open_network(subject.folder, options)
    return opened.maker, opened.source(subject)


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
