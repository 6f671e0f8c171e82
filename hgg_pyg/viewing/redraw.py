"""One thread that draws: controls only ask for it, so that a dragged slider leaves no queue of old pictures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from hgg_pyg.types import UserError

log = logging.getLogger("hgg_pyg")


class Redrawer:
    """Draws when asked, never twice at once; requests that come while it draws are one.

    Args:
        draw: draws everything as the controls have it. After it, its thread rests as long as it took, so that browsers
            keep up. It returns whether to draw again without being asked, as while a motion plays.
        complain: shows people what went wrong, as a broken image that is read in between; the thread goes on.
        per_second: pictures, at most.
    """

    def __init__(self, draw: Callable[[], bool], complain: Callable[[str], None], per_second: float = 25.0) -> None:
        self._draw, self._complain = draw, complain
        self.per_second = per_second
        self._asked, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="redraw", daemon=True)

    def start(self) -> None:
        """Draw what was asked for so far, and from now on."""
        self._thread.start()

    def ask(self) -> None:
        """Draw soon. Any thread may call it."""
        self._asked.set()

    def close(self) -> None:
        """Wait for what is being drawn, and draw no more."""
        self._ended = True
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        again = False
        while not self._ended:
            if not again:
                self._asked.wait()
            if self._ended:
                return
            self._asked.clear()
            begin = time.perf_counter()
            try:
                again = self._draw()
            except UserError as error:
                again = False
                self._complain(str(error))
            except Exception as error:  # the page must not freeze in silence
                again = False
                log.exception("the page could not be drawn")
                self._complain(f"{type(error).__name__}: {error}")
            took = time.perf_counter() - begin
            time.sleep(max(took if again else 0.0, 1 / self.per_second - took, 0.0))
