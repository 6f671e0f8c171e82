"""`python -m hgg_pyg.view RUN|CAPTURE|person.avatar`: a page in the browser to look inside."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import tyro

from hgg_pyg.avatar import Avatar, Motion
from hgg_pyg.avatar.motions import OWN_MOTIONS, load_motion
from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError
from hgg_pyg.viewing.avatar_page import AvatarPage
from hgg_pyg.viewing.server import LOOPBACK, check_address, close_server, open_server, require_viser, url_of

if TYPE_CHECKING:
    from viser import ViserServer


@dataclass(frozen=True)
class ViewConfig:
    """What to look at, and where the page is."""

    path: Annotated[Path, tyro.conf.Positional]
    """file of an avatar"""
    motion: tuple[str, ...] = ()
    """files of further motions for an avatar, or module:NAME of yours"""
    host: str = LOOPBACK
    """name or address that the page is served at: by default for this machine alone"""
    port: Annotated[int, Bounds(0, 65_535)] = 8080
    """0 takes any that is free"""

    def __post_init__(self) -> None:
        check_choices(self)


class Page(Protocol):
    """What is shown, and moves as somebody uses its controls."""

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
    """Show an avatar in the browser, to be moved and looked into."""
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
    avatar = Avatar.load(config.path)
    motions = _motions(config, avatar)
    server = open_server(config.host, config.port, "hgg_pyg")
    return server, AvatarPage(server, avatar, motions, config.path.stem)


def _motions(config: ViewConfig, avatar: Avatar) -> dict[str, Motion]:
    """The avatar's own, those of ours that its skeleton can do, and those that are asked for."""
    found = {motion.name: motion for motion in avatar.motions}
    with suppress(UserError):  # a skeleton that is nobody's we know
        found |= {name: load_motion(name, avatar.skeleton) for name in OWN_MOTIONS if name not in found}
    return found | {name: load_motion(name, avatar.skeleton) for name in config.motion}


if __name__ == "__main__":
    run_command(ViewConfig, main)
