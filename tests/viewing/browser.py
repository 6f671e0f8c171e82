"""Pages of the viewer in a real browser, and what they show there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hgg_pyg.viewing.server import url_of
from tests.chromium import visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from viser import ClientHandle, ViserServer

Found = TypeVar("Found")

# What viser's own code says of every page with Gaussians: three wants a bounding sphere of corners that have no z.
_VISERS_OWN = "computeBoundingSphere(): Computed radius is NaN"


@dataclass
class OpenPage:
    """A page of the viewer: the browser's end of it and the server's."""

    client: ClientHandle
    said: list[str]  # in its console, and errors that nobody caught
    asked: list[str]  # addresses

    @property
    def errors(self) -> list[str]:
        """What its console has of errors, less the one of viser's own."""
        fine = ("log:", "warning:", "info:", "debug:")
        return [line for line in self.said if not line.startswith(fine) and _VISERS_OWN not in line]

    @property
    def asked_elsewhere(self) -> list[str]:
        """What it asked of others than its server."""
        own = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
        return [address for address in self.asked if not address.startswith(own)]

    def picture(self) -> np.ndarray:
        """What it shows of the scene, once two pictures are alike. [H, W, 4] uint8, transparent where nothing is

        viser's pictures from other cameras than the page's own have Gaussians of the wrong size.
        """
        camera, before = self.client.camera, np.zeros(0)
        for _ in range(40):
            now = self.client.get_render(camera.image_height, camera.image_width, transport_format="png", timeout=150)
            if now.shape == before.shape and now[..., 3].any() and np.array_equal(now, before):
                return now
            before = now
            time.sleep(0.3)
        raise AssertionError("the page does not come to rest")


@contextmanager
def open_in(browser: Browser, server: ViserServer, size: tuple[int, int] = (240, 240)) -> Iterator[OpenPage]:
    """A server's page in a window of its own, of so many pixels."""
    with visit(browser, url_of(server), size) as visited:
        yield OpenPage(next(iter(wait_for(server.get_clients, 60).values())), visited.said, visited.asked)


def wait_for(find: Callable[[], Found], seconds: float) -> Found:
    """What a function gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found
