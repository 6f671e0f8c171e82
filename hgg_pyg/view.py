"""`python -m hgg_pyg.view RUN|CAPTURE|person.avatar`: a page in the browser to look inside."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import tyro

from hgg_pyg.avatar import Avatar, Motion
from hgg_pyg.avatar.file import SUFFIX
from hgg_pyg.avatar.motions import OWN_MOTIONS, load_motion
from hgg_pyg.config import Bounds, FrameCount, Pixels, Seconds, check_choices
from hgg_pyg.maker_choice import MakerOptions, open_maker
from hgg_pyg.making import seen_of
from hgg_pyg.model.network import HGGNet
from hgg_pyg.refine import RefineConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.training.run import CONFIG_FILE
from hgg_pyg.training.trained import load_subject
from hgg_pyg.types import UserError
from hgg_pyg.viewing.avatar_page import AvatarPage
from hgg_pyg.viewing.capture_page import CapturePage
from hgg_pyg.viewing.server import LOOPBACK, check_address, close_server, open_server, require_viser, url_of
from hgg_pyg.viewing.subject import ViewedSubject

if TYPE_CHECKING:
    from viser import ViserServer

_IMAGE_SIZE = 256


@dataclass(frozen=True)
class ViewConfig:
    """What to look at, and where the page is."""

    path: Annotated[Path, tyro.conf.Positional]
    """file of an avatar, folder of a capture, or folder of a training run"""
    subject: str | None = None
    """name of the subject, where there are several: of a run, by default the first test subject"""
    run: Path | None = None
    """folder of a training run whose network to look into at work on a capture; by default what comes with hgg_pyg"""
    direct: bool = False
    """show a capture without a network"""
    data: Path | None = None
    """folder of captures for a run; by default where the run found them"""
    body: Path | None = None
    """body model file of SMPL or SMPL-X (.npz, .pkl) or its folder; by default the run's or the capture's"""
    image_size: Pixels | None = None
    """longest side of a capture's images in pixels, which its Gaussians are made of; by default the run's, else 256"""
    frames: FrameCount | None = None
    """frames of a capture that its graph joins; by default the run's, else 8"""
    refine: Seconds | None = None
    """seconds for which the avatar, the poses of its frames and the shape are fitted to the input images after the
    forward pass, before the page opens; by default not at all"""
    motion: tuple[str, ...] = ()
    """files of further motions for an avatar, or module:NAME of yours"""
    host: str = LOOPBACK
    """name or address that the page is served at: by default for this machine alone"""
    port: Annotated[int, Bounds(0, 65_535)] = 8080
    """0 takes any that is free"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.direct and self.run is not None:
            raise ValueError("direct: expected it without --run, found both: direct binding has no network")
        if self.motion and self.path.suffix != SUFFIX:
            raise ValueError(f"motion: expected it with the file of an avatar (*{SUFFIX}), found {self.path}")


class Page(Protocol):
    """What is shown, and moves as somebody uses its controls."""

    server: ViserServer

    def start(self) -> None:
        """Draw, and go on drawing."""
        ...

    def draw(self) -> bool:
        """Draw what the controls say, once."""
        ...

    def close(self) -> None:
        """Draw no more."""
        ...


def main(config: ViewConfig) -> None:
    """Look inside in the browser: an avatar to be moved, a capture and its graph, or a network at work on one."""
    server, page = open_page(config)
    try:
        page.start()
        print(f"{url_of(server)} shows {config.path}; Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    finally:
        page.close()
        close_server(server)


def open_page(config: ViewConfig) -> tuple[ViserServer, Page]:
    """The page, which is not drawn yet, and its server.

    Raises:
        UserError: nothing that can be shown, viser is not installed, or nobody can listen at the address.
    """
    require_viser()
    check_address(config.host, config.port)  # before anything that takes time
    if config.path.suffix == SUFFIX or config.path.is_file():
        unused = ("subject", "run", "direct", "data", "body", "image_size", "frames", "refine")
        _refuse(config, unused, "the folder of a capture or a run")
        avatar = Avatar.load(config.path)
        motions = _motions(config, avatar)
        server = open_server(config.host, config.port, "hgg_pyg")
        return server, AvatarPage(server, avatar, motions, config.path.stem)
    subject = _of_run(config) if (config.path / CONFIG_FILE).is_file() else _of_capture(config)
    if config.refine is not None:
        subject = replace(subject, fit=RefineConfig(seconds=config.refine))
        print(f"refined: {subject.fitted.steps} steps in {subject.fitted.seconds:.1f} s, {subject.fitted.stopped}")
    seen = seen_of(subject.source, subject.frames[:1])
    server = open_server(config.host, config.port, "hgg_pyg")
    return server, CapturePage(server, subject, seen.distance / seen.focal)


def _refuse(config: ViewConfig, names: Sequence[str], expected: str) -> None:
    """Refuse options that are of no use for what is shown.

    Raises:
        UserError: one of them is given.
    """
    for name in names:
        if getattr(config, name):
            raise UserError(f"--{name.replace('_', '-')}: expected it with {expected}, found {config.path}")


def _motions(config: ViewConfig, avatar: Avatar) -> dict[str, Motion]:
    """The avatar's own, those of ours that its skeleton can do, and those that are asked for."""
    found = {motion.name: motion for motion in avatar.motions}
    with suppress(UserError):  # a skeleton that is nobody's we know
        found |= {name: load_motion(name, avatar.skeleton) for name in OWN_MOTIONS if name not in found}
    return found | {name: load_motion(name, avatar.skeleton) for name in config.motion}


def _of_run(config: ViewConfig) -> ViewedSubject:
    """A test subject of a run, with its network."""
    _refuse(config, ("run", "direct", "image_size", "frames"), "a capture's folder")
    found = load_subject(config.path, config.data, config.subject, config.body)
    return ViewedSubject(found.source, found.spec, found.frames, found.model)


def _of_capture(config: ViewConfig) -> ViewedSubject:
    """A subject of a folder of captures, with a network or none."""
    if config.data is not None:
        raise UserError(f"--data: expected it with the folder of a run, found {config.path}")
    size = config.image_size or (_IMAGE_SIZE if config.run is None else None)
    maker, source = open_maker(
        config.path,
        MakerOptions(
            run=config.run,
            direct=config.direct,
            subject=config.subject,
            body=config.body,
            image_size=size,
            frames=config.frames,
        ),
    )
    frames = maker.frames_of(source)
    network = maker.model.cpu() if isinstance(maker.model, HGGNet) else None
    return ViewedSubject(source, maker.spec, frames, network)


if __name__ == "__main__":
    run_command(ViewConfig, main)
