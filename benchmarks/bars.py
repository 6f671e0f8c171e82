"""The aims that the project set itself: what was asked, what was found; and the tables of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.suite import Result
from benchmarks.timing import write_table


class Entry(Protocol):
    """The results of one case."""

    @property
    def table(self) -> str:
        """The table it belongs to."""
        ...

    @property
    def case(self) -> Any:
        """A dataclass."""
        ...

    @property
    def results(self) -> Mapping[str, Result]:
        """By name."""
        ...


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


def write_entries(out: Path, entries: Sequence[Entry], bars: Sequence[Bar], about: Mapping[str, object]) -> None:
    """Write all results to `out`, and the aims, if any, to a file beside it; `about` becomes columns of each row."""
    write_table(out, [{**row, **about} for entry in entries for row in _rows(entry)])
    if bars:
        write_table(out.with_name(f"{out.stem}_bars.csv"), [{**bar.row(), **about} for bar in bars])


def _rows(entry: Entry) -> Iterator[dict[str, object]]:
    described = {name: value for name, value in asdict(entry.case).items() if name != "device"}
    for name, result in entry.results.items():
        yield {"table": entry.table, "name": name, **described, **result.columns()}


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
