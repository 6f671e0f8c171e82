"""What the benchmarks show of their results: tables on standard output, and what their plots draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from tqdm import tqdm

from benchmarks.plots import Panel
from benchmarks.suite import PARTS, Result

_TITLES = {"forward": "forward", "forward_backward": "forward + backward"}


class Progress(tqdm):
    """A bar that fills as shares of known weights are done, with an estimate of the time that is left."""

    def __init__(self, total: float) -> None:
        form = "{percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left: {desc}"
        super().__init__(total=total, bar_format=form, smoothing=0, mininterval=1)

    def begin(self, what: str, weight: float) -> Callable[[float], None]:
        """Name what is done next; returns what takes the shares of its weight that have been done."""
        self.set_description_str(what, refresh=False)
        return lambda share: self._advance(share * weight)

    def _advance(self, amount: float) -> None:
        self.update(min(amount, self.total - self.n))  # sums of shares are rounded


def print_results(title: str, results: Mapping[str, Result], settings: Sequence[str], bases: Sequence[str]) -> None:
    """Print medians, each with how many times faster than the bases it is, and memory.

    Args:
        title: a line above the table.
        results: by name.
        settings: of the allocator.
        bases: names that the others are compared with, in this order.
    """
    bases = [base for base in bases if base in results and results[base].measured]
    print(f"\n{title}" + (f"; times faster than {', '.join(bases)}" if bases else ""))
    titles = [f"{what}, {setting}" for what in ("forward ms", "with backward ms") for setting in settings]
    print(f"{'':26}" + "".join(f"{x:>27}" for x in [*titles, "extra peak MB"]))
    for name, result in results.items():
        if not result.measured:
            wrong = "" if result.trial.deviation is None else f", relative error {result.trial.deviation:.1e}"
            print(f"{name:26}  {result.trial.status}{wrong}")
            continue
        cells = [_cell(results, name, bases, what, setting) for what in PARTS for setting in settings]
        first = result.measured[settings[0]]
        peaks = (first.forward_mb, first.forward_backward_mb)
        cells.append(" / ".join("-" if mb is None else f"{mb:.0f}" for mb in peaks))
        note = "" if result.trial.status == "right" else f"  ({result.trial.status})"
        note += "" if result.trial.error is None else f"  error {result.trial.error:.1e}"
        print(f"{name:26}" + "".join(f"{cell:>27}" for cell in cells) + note)


def speed_up(results: Mapping[str, Result], base: str, name: str, what: str, setting: str) -> float | None:
    """How many times faster than the base it is, by medians; None where either was not timed."""
    slow, fast = (results[n].median(what, setting) if n in results else None for n in (base, name))
    return slow / fast if slow and fast else None


def medians(results: Mapping[str, Result], what: str, settings: Sequence[str]) -> dict[str, dict[str, float]]:
    """Name to setting to milliseconds, of what was timed: what `draw_ranking` takes."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, result in results.items():
        for setting in settings:
            if (took := result.median(what, setting)) is not None:
                found[name][setting] = took
    return dict(found)


def sweep_panels(
    across: str, points: Sequence[tuple[float | str, Mapping[str, Result]]], settings: Sequence[str]
) -> list[Panel]:
    """Panels of forward, forward + backward and memory over what changes.

    Args:
        across: what changes, in words.
        points: its value and the results there.
        settings: of the allocator; memory is drawn under the first.
    """
    panels = []
    for what in PARTS:
        lines: dict[tuple[str, str], list[tuple[float | str, float]]] = defaultdict(list)
        for x, results in points:
            for name, times in medians(results, what, settings).items():
                for setting, took in times.items():
                    lines[name, setting].append((x, took))
        panels.append(Panel(_TITLES[what], across, "ms", dict(lines)))
    lines = defaultdict(list)
    for x, results in points:
        for name, result in results.items():
            if result.measured and (held := result.measured[settings[0]].forward_backward_mb):
                lines[name, settings[0]].append((x, held))
    return [*panels, Panel("extra peak memory, forward + backward", across, "MB", dict(lines))]


def _cell(results: Mapping[str, Result], name: str, bases: Sequence[str], what: str, setting: str) -> str:
    took = results[name].median(what, setting)
    if took is None:
        return "-"
    ratios = [speed_up(results, base, name, what, setting) for base in bases]
    shown = ", ".join("-" if ratio is None else f"{ratio:.1f}x" for ratio in ratios)
    return f"{took:.2f}" + (f" ({shown})" if shown else "")
