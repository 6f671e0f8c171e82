"""The aims that the project set itself: what was asked, what was found, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Bar:
    """One aim, and what was found."""

    what: str
    setting: str
    asked: float
    found: float | None
    at_least: bool
    """else at most"""

    @property
    def verdict(self) -> str:
        """ "reached", "missed", or "not measured"."""
        if self.found is None:
            return "not measured"
        return "reached" if (self.found >= self.asked) == self.at_least or self.found == self.asked else "missed"

    def row(self) -> dict[str, object]:
        """Its row in the table."""
        return {**asdict(self), "verdict": self.verdict}


def print_bars(bars: Sequence[Bar], settings: Sequence[str]) -> None:
    """Print the aims with what was found, the settings side by side."""
    if not bars:
        return
    print("\nwhat we asked of it" + "".join(f"{setting:>34}" for setting in settings))
    for what in dict.fromkeys(bar.what for bar in bars):
        print(what)
        print(" " * 19 + "".join(f"{_short(bar):>34}" for bar in bars if bar.what == what))


def _short(bar: Bar) -> str:
    found = "" if bar.found is None else f"{bar.found:.3g}, "
    return f"{found}asked {'>=' if bar.at_least else '<='} {bar.asked:g}: {bar.verdict}"
