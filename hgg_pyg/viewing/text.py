"""Words of a page. What comes from files is shown as it is: never as HTML, nor as a name of the scene's tree."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hgg_pyg.io.shown import shown

if TYPE_CHECKING:
    from viser import GuiApi, GuiHtmlHandle, ViserServer

log = logging.getLogger("hgg_pyg")


def facts(lines: Mapping[str, str], swatches: np.ndarray | None = None) -> str:
    """Names and what they are, a line each, as HTML; with a colour each, [K, 3] in [0, 1], if they have some."""
    dots = ["" for _ in lines]
    if swatches is not None:
        rgb = (swatches * 255).round().astype(int).tolist()
        dots = [f'<span style="color: rgb({r}, {g}, {b})">&#9632;</span> ' for r, g, b in rgb]
    rows = (
        f"{dot}<b>{html.escape(name)}</b>: {html.escape(shown(value, 300))}"
        for dot, (name, value) in zip(dots, lines.items(), strict=True)
    )
    return f'<div style="font-size: 0.8em; padding: 0 0.8em; overflow-wrap: anywhere">{"<br>".join(rows)}</div>'


def add_facts(gui: GuiApi, lines: Mapping[str, str]) -> GuiHtmlHandle:
    """Show them in the folder that is open."""
    return gui.add_html(facts(lines))


def node_name(text: str) -> str:
    """A name for one node of the scene: a slash would make a branch."""
    return re.sub(r"[^\w.\-]", "_", text)


def complain(server: ViserServer, text: str) -> None:
    """Tell everybody who looks, and the terminal, what went wrong."""
    log.error("%s", text)
    for client in server.get_clients().values():
        client.add_notification("error", shown(text, 300), color="red", auto_close_seconds=20.0)
