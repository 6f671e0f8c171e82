"""The controls of time: which frame is shown, and whether and how fast it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from viser import ViserServer


class Timeline:
    """A slider over frames, a checkbox that lets it run, a slider of its speed.

    Args:
        server: of the page; the controls come into the folder that is open.
        changed: called when somebody moved one.
        frames: T.
        fps: of the frames, per second.
    """

    def __init__(self, server: ViserServer, changed: Callable[[], None], frames: int, fps: float) -> None:
        gui = server.gui
        self._changed, self._moving = changed, False
        self.play = gui.add_checkbox("play", False)
        self.frame = gui.add_slider("frame", 0, max(frames - 1, 1), 1, 0)
        self.speed = gui.add_slider("speed", 0.1, 2.0, 0.1, 1.0)
        self._fps, self._frames = fps, frames
        self._since, self._from = 0.0, 0.0
        self.set(frames, fps)
        self.play.on_update(lambda _: self._started())
        self.speed.on_update(lambda _: self._started())
        self.frame.on_update(lambda _: None if self._moving else self._started())

    def set(self, frames: int, fps: float) -> None:
        """Another motion: from its first frame."""
        self._frames, self._fps = frames, fps
        self.frame.max = max(frames - 1, 1)
        for control in (self.play, self.frame, self.speed):
            control.disabled = frames < 2
        self._move(0)
        self._since, self._from = time.perf_counter(), 0.0

    def now(self) -> int:
        """The frame to be shown; a running slider is moved there."""
        if self.running:
            passed = (time.perf_counter() - self._since) * self._fps * self.speed.value
            self._move(int(self._from + passed) % self._frames)
        return min(int(self.frame.value), self._frames - 1)

    @property
    def running(self) -> bool:
        """Whether time goes on by itself."""
        return self.play.value and self._frames > 1

    def _move(self, frame: int) -> None:
        self._moving = True
        try:
            self.frame.value = frame
        finally:
            self._moving = False

    def _started(self) -> None:
        """Time goes on from here."""
        self._since, self._from = time.perf_counter(), float(self.frame.value)
        self._changed()
