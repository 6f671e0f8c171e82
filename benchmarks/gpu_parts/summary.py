"""What is shown in the end: how the parts ended, what was found, which goals are reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.gpu_parts.goals import Row, Tables
from benchmarks.gpu_parts.runner import Outcome
from benchmarks.timing import write_table
from hgg_pyg.io.files import write_text

_DRY = "**A dry run: toy sizes on a CPU, whose numbers mean nothing; no goal is judged.**"


def write_summary(
    out: Path,
    about: Mapping[str, object],
    jobs: Mapping[str, str],
    outcomes: Sequence[Outcome],
    tables: Tables,
    bars: Sequence[Bar],
) -> str:
    """Write `summary.md`, and the goals as `summary.csv`; returns the former's text.

    Args:
        out: folder.
        about: the machine, the versions and the date.
        jobs: what was built, and how that ended.
        outcomes: of the parts, in the order in which they ended.
        tables: what the parts wrote.
        bars: the goals.
    """
    sections = [
        "# GPU measurement",
        ", ".join(f"{name} {value}" for name, value in about.items() if value not in ("", False)),
        *([_DRY] if about.get("dry_run") else []),
        _table(["part", "what", "outcome", "s"], [_outcome_cells(outcome) for outcome in outcomes]),
        *([_table(["built", "outcome"], jobs.items())] if jobs else []),
        "## Goals",
        _table(["goal", "asked", "found", ""], [_bar_cells(bar) for bar in bars]),
        *(f"## {title}\n\n{table}" for title, table in _found(tables)),
    ]
    text = "\n\n".join(sections) + "\n"
    write_text(out / "summary.md", text)
    write_table(out / "summary.csv", [{**bar.row(), **about} for bar in bars])
    return text


def _outcome_cells(outcome: Outcome) -> tuple[object, ...]:
    return outcome.part, outcome.what, outcome.outcome, f"{outcome.seconds:.0f}"


def _bar_cells(bar: Bar) -> tuple[object, ...]:
    asked = f"{'≥' if bar.at_least else '≤'} {bar.asked:g}"
    return bar.what, asked, "" if bar.found is None else f"{bar.found:.3g}", bar.verdict


def _found(tables: Tables) -> Iterator[tuple[str, str]]:
    for part in ("tests", "render_tests"):
        if rows := tables.get(part):
            counts = Counter(row["outcome"] for row in rows)
            wrong = [
                (row["file"], row.get("test", ""), row["said"])
                for row in rows
                if row["outcome"] not in ("passed", "skipped")
            ]
            yield part, ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + (
                "\n\n" + _table(["file", "test", "said"], wrong) if wrong else "")  # fmt: skip
    for part, columns in (
        ("attention", ("task", "form", "edges", "storage")),
        ("layers", ("kind", "edges")),
    ):
        if rows := tables.get(part):
            yield f"{part}: median ms, forward / forward + backward", _timings(rows, columns)
    if rows := tables.get("render"):
        columns = ("table", "name", "size", "frames_per_second", "error_p999", "share_off_by_1e-4", "gradient_error")
        yield "render", _table(columns, ([row.get(column, "") for column in columns] for row in rows))
    for part, columns in (
        ("avatar", ("backbone", "stage", "median_ms", "moments", "gaussians", "nearest_search")),
        ("training_step", ("preset", "precision", "gaussians", "median_ms", "loading_a_clip_ms", "peak_mb")),
    ):
        if rows := tables.get(part):
            yield part, _table(columns, ([row.get(column, "") for column in columns] for row in rows))
    if rows := tables.get("training"):
        columns = ("step", "steps", "loss", "psnr", "val_psnr", "clips_per_second")
        shown = [row for row in rows if row["val_psnr"]] or rows[-1:]
        yield "training", _table(columns, ([row.get(column, "") for column in columns] for row in shown))


def _timings(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """A line for each case, a column for each contestant."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        times = [row.get(f"{what}_median_ms_default", "") or "-" for what in ("forward", "forward_backward")]
        right = row["status"] in ("right", "another operation")
        cells.setdefault(tuple(row[c] for c in columns), {})[row["name"]] = (
            " / ".join(times) if right else row["status"]
        )
    return _table(
        [*columns, *names], ([*case, *(found.get(name, "") for name in names)] for case, found in cells.items())
    )


def _table(head: Sequence[str], lines: object) -> str:
    rows = [head, ["---"] * len(head), *lines]  # pyright: ignore[reportGeneralTypeIssues]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows)
