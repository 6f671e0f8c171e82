"""The avatar as one page that any browser with WebGL2 opens from a disk, without a network.

The page is our viewer, written in viewer/src and built into viewer.min.js, with the .glb file in it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jinja2

from hgg_pyg.avatar.avatar import Avatar
from hgg_pyg.avatar.exporters.glb import glb_bytes
from hgg_pyg.avatar.exporters.registry import MovingExporter
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.io.files import write_text

_HERE = Path(__file__).parent


def page_of(avatar: Avatar, motions: Sequence[Motion] = (), precise: bool = False, title: str = "Avatar") -> str:
    """A page that shows the avatar, whole in itself.

    Its content security policy forbids everything, requests first of all, but the style and the script in it.

    Args:
        avatar: M Gaussians.
        motions: that can be chosen, for this avatar's skeleton; the rest pose always can.
        precise: see `glb_bytes`.
        title: of the page.
    """
    style = (_HERE / "page.css").read_text("utf-8")
    script = (_HERE / "viewer.min.js").read_text("utf-8")
    own = f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}"
    content = gzip.compress(glb_bytes(avatar, motions, precise), 9, mtime=0)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True)
    return environment.from_string((_HERE / "page.html").read_text("utf-8")).render(
        title=title,
        policy=f"{own}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        data=base64.b64encode(content).decode(),
    )


def write_page(path: Path, avatar: Avatar, motions: Sequence[Motion], precise: bool) -> None:
    """`page_of` in a file, with the file's name as its title."""
    write_text(path, page_of(avatar, motions, precise, path.stem.replace("_", " ") or "Avatar"))


def _digest(text: str) -> str:
    """How a policy names an inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


EXPORTER = MovingExporter(
    name="html",
    summary="one page with the avatar in it, which moves in any browser with WebGL2, offline",
    suffix=".html",
    write=write_page,
)
