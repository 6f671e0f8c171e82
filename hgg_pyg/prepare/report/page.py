"""The page on which people see what was prepared; what it looks like is in `page.html`. Nothing is fetched by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from hgg_pyg.evaluation.reporting.page import page_environment
from hgg_pyg.evaluation.reporting.tables import NONE, Table
from hgg_pyg.io.files import write_text
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.prepare.report import charts
from hgg_pyg.prepare.report.grade import grade
from hgg_pyg.prepare.report.numbers import Numbers, count
from hgg_pyg.prepare.report.silhouettes import Overlaps, overlaps, views_of
from hgg_pyg.prepare.report.stage_view import stage_view
from hgg_pyg.prepare.report.tiles import HEIGHT, WIDTH, make_strips

PAGE, NUMBERS = "report.html", "report.json"


def write_report(folder: Path, prepared: Prepared) -> Path:
    """Write the page, and the same numbers as `report.json` beside it.

    Args:
        folder: that is there.
        prepared: whose images and masks are on disk; those that cannot be read are left out, and the log names them.

    Returns:
        The page's file.

    Raises:
        UserError: the folder cannot be written.
    """
    views = views_of(prepared)
    overlap = overlaps(prepared, views)
    numbers = count(prepared, overlap.of_cameras)
    text = (
        page_environment(Path(__file__).parent)
        .get_template("page.html")
        .render(
            n=numbers,
            grade=grade(numbers, overlap.of_cameras),
            facts=_facts(numbers),
            cameras=_cameras(numbers),
            strips=make_strips(prepared, views, overlap),
            width=WIDTH,
            height=HEIGHT,
            stage=_chart(lambda: stage_view(prepared), "Cameras and the person's path, from above and from the side"),
            sections=_sections(prepared, numbers, overlap),
        )
    )
    page = folder / PAGE
    write_text(folder / NUMBERS, numbers.json())
    write_text(page, text)
    return page


def _facts(n: Numbers) -> tuple[tuple[str, str], ...]:
    """The first table: what, and how much."""
    images = n.frames * len(n.cameras)
    facts = [
        ("Frames", f"{n.frames}, {n.seconds:.1f} s"),
        ("Cameras", f"{len(n.cameras)}, {n.width} x {n.height} pixels"),
        ("Body", f"{n.body}, {n.body_height:.2f} m tall"),
        ("Person found", f"in {n.found} of {images} images"),
        ("Body and mask (IoU)", _number(n.iou, ".2f") + (" in the median camera" if math.isfinite(n.iou) else "")),
    ]
    if math.isfinite(n.reprojection):
        agree = f"{n.reprojection_used:.1f} px of the {n.agreeing:.0%} that agree"
        facts.append(("Reprojection", f"{n.reprojection:.1f} px, median of all views; {agree}"))
    if math.isfinite(n.reprojection_before):
        before, after = _number(n.reprojection_before, ".1f"), _number(n.reprojection_after, ".1f", " px")
        facts.append(("Cameras put right", f"from {before} to {after}" if before != after else f"no need, {after}"))
    facts += [
        ("Landmarks in space", f"{_number(n.points_found, '.0%')} found; {n.points_dropped} dropped as unsteady"),
        ("Left and right", f"exchanged in {n.sides_swapped} images and put right" if n.sides_swapped else "as found"),
        ("Landmark to body", f"{_number(n.distance, '.0f', ' mm')}, mean"),
    ]
    return tuple(facts)


def _cameras(n: Numbers) -> Table:
    columns = [
        "camera",
        "person found",
        "IoU",
        "body in mask",
        "reprojection, px",
        "of views that agree",
        "landmarks dropped",
    ]
    changed = any(math.isfinite(camera.turned) for camera in n.cameras)
    rows = [
        [
            camera.name,
            f"{camera.found / max(n.frames, 1):.0%}",
            _number(camera.iou, ".2f"),
            _number(camera.inside, ".0%"),
            _number(camera.reprojection, ".1f"),
            _number(camera.reprojection_used, ".1f"),
            _number(camera.dropped, ".0%"),
            *([_number(camera.turned, ".2f", "°"), _number(100 * camera.moved, ".1f", " cm")] if changed else []),
        ]
        for camera in n.cameras
    ]
    return Table("", (*columns, *(("turned", "moved") if changed else ())), tuple(map(tuple, rows)))


def _sections(prepared: Prepared, numbers: Numbers, overlap: Overlaps) -> list[tuple[str, str, Markup | None, str]]:
    """Heading, what to look for, the chart, and what is said where there is none."""
    none = "There are no landmarks in images to compare with."
    drawn = (
        (
            "Reprojection by camera",
            "One camera far to the right of the others has moved, or has another clock.",
            lambda: charts.reprojection_of_cameras(prepared),
            none,
        ),
        (
            "Reprojection by landmark",
            "Hands and feet are usually the farthest off.",
            lambda: charts.reprojection_of_landmarks(prepared),
            none,
        ),
        (
            "Reprojection over time",
            "A hill is a moment in which people are mixed up, or a fast motion that clocks do not agree on.",
            lambda: charts.reprojection_over_time(prepared),
            none,
        ),
        (
            "Body and mask over time",
            "Where one camera falls, its mask or its clock is wrong; where all do, the pose is.",
            lambda: charts.iou_over_time(prepared, overlap),
            "There are no masks that the body could be compared with.",
        ),
        (
            "Length of limbs over time",
            "Bones do not grow: lines should be level, left and right alike, and adults' thighs about 40 cm. "
            "Other lengths mean a wrong scale.",
            lambda: charts.bones_over_time(prepared),
            "There are no landmarks in space with a limb between them.",
        ),
        (
            "From landmarks to the body",
            "Far at one joint only: the body's joint lies elsewhere than the landmark.",
            lambda: charts.distances_of_landmarks(numbers),
            "The fit has left no distances.",
        ),
        (
            "Cameras put right",
            "A camera far from the others was touched after it was calibrated: calibrate it again.",
            lambda: charts.camera_changes(prepared),
            "All cameras are where the calibration has them.",
        ),
    )
    return [(title, hint, _chart(make, title), missing) for title, hint, make, missing in drawn]


def _chart(make: Callable[[], Figure | None], title: str) -> Markup | None:
    figure = make()
    return None if figure is None else Markup(charts.svg(figure, title))


def _number(value: float, form: str, unit: str = "") -> str:
    return format(value, form) + unit if math.isfinite(value) else NONE
