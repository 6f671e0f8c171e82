"""A real browser for tests: Chromium without a window, which draws WebGL on the processor.

Skipped with a word where this machine has no Chromium or no playwright, the library that drives it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--no-sandbox",  # which a container has no rights for
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
)


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """This machine's Chromium, closed at the end."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium: apt install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page that is open, and all that it has said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)  # in the console, errors that nobody caught among it
    asked: list[str] = field(default_factory=list)  # addresses

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true in the page; playwright's own way wants policies to allow `eval`."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"{condition}: not within {seconds} s; said: {self.said}"
            self.page.wait_for_timeout(30)


@contextmanager
def visit(
    browser: Browser,
    address: str,
    size: tuple[int, int] = (320, 320),
    touch: bool = False,
    before: str = "",
    scripts: bool = True,
    still: bool = False,
) -> Iterator[Visit]:
    """Open an address in a window of its own.

    Args:
        browser: of `open_chromium`.
        address: file:// or http://
        size: width and height of the page, pixels.
        touch: a screen for fingers.
        before: script that runs before the page's own.
        scripts: False switches the page's own off.
        still: asks pages for little motion, as a system's settings can.
    """
    viewport: ViewportSize = {"width": size[0], "height": size[1]}
    motion = "reduce" if still else "no-preference"
    context = browser.new_context(
        viewport=viewport, has_touch=touch, java_script_enabled=scripts, reduced_motion=motion
    )
    if before:
        context.add_init_script(before)
    context.set_default_timeout(120_000)  # milliseconds, of a machine that does much else
    page = context.new_page()
    visited = Visit(page)
    page.on("console", lambda message: visited.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: visited.said.append(str(error)))
    page.on("request", lambda request: visited.asked.append(request.url))
    page.goto(address)
    try:
        yield visited
    finally:
        context.close()
