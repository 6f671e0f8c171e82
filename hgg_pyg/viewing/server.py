"""The web server of a page: started on an address that is free, silent, and ended without a trace."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import socket
from typing import TYPE_CHECKING

from hgg_pyg.types import UserError

if TYPE_CHECKING:
    from viser import ViserServer

LOOPBACK = "127.0.0.1"


def require_viser() -> None:
    """Refuse to go on where viser is not installed.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("viser") is None:
        raise UserError("expected viser, which shows the pages, found none: pip install viser")


def check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened at.

    Args:
        host: a name or an address of this machine.
        port: 0 stands for any free one.

    Raises:
        UserError: the host is none of this machine's, or the port is taken or not for this user.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError, OverflowError):
        raise UserError(f"--host: expected a name or an address of this machine, found {host!r}") from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            why = {98: "in use by another program", 13: "not for this user"}.get(error.errno or 0)
            if why is None:
                raise UserError(f"--host {host}: expected an address of this machine ({error.strerror})") from None
            raise UserError(f"--port {port}: expected a free port, found it {why}; --port 0 takes any") from None


def open_server(host: str, port: int, title: str) -> ViserServer:
    """A server that listens and shows nothing yet.

    Raises:
        UserError: as `require_viser` and `check_address`.
    """
    require_viser()
    check_address(host, port)
    from viser import ViserServer

    logging.getLogger("websockets").setLevel(logging.WARNING)  # it tells of each browser that comes and goes
    with contextlib.redirect_stdout(io.StringIO()):  # it draws a box around its address
        server = ViserServer(host=host, port=port, label=title, verbose=False)
    if port and server.get_port() != port:  # somebody took it meanwhile, and viser went on to the next
        close_server(server)
        raise UserError(f"--port {port}: expected a free port, found it in use by another program; --port 0 takes any")
    # The button for sharing would send the page through somebody else's server.
    server.gui.configure_theme(show_logo=False, show_share_button=False)
    server.gui.main_panel.dock_right()
    server.scene.configure_default_lights(cast_shadow=False)  # which take most of the time without a GPU
    return server


def close_server(server: ViserServer) -> None:
    """Disconnect everybody and free the port."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def url_of(server: ViserServer) -> str:
    """What to open in a browser."""
    host = server.get_host()
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{server.get_port()}"
