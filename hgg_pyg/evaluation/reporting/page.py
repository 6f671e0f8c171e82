"""The report as one HTML file: nothing is fetched, images are inside. What it looks like is in `page.html`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from hgg_pyg.evaluation.drawn_views import DrawnViews
from hgg_pyg.evaluation.reporting.charts import ERROR_LIMIT, colour_bar, error_map, image_file, jpeg, psnr_over_frames
from hgg_pyg.evaluation.reporting.gallery import Gallery, Shot
from hgg_pyg.evaluation.reporting.tables import Table
from hgg_pyg.evaluation.scores import ImageScore

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class Page:
    """What is written on it."""

    run: Path  # its curves and what `inspect` left are shown
    images: tuple[ImageScore, ...]
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    gallery: Gallery
    summary: Table
    gains: tuple[Table, ...]  # one per task
    subjects: tuple[Table, ...]  # one per task
    remarks: tuple[str, ...]
    definitions: tuple[str, ...]
    drawn: tuple[DrawnViews, ...] = ()  # what a front drew, beside the truth


def page(content: Page) -> str:
    """The whole file as text."""
    environment = page_environment(Path(__file__).parent)
    charts = (colour_bar, error_map, jpeg, psnr_over_frames, _spread_out, zip)
    environment.globals.update((function.__name__.lstrip("_"), function) for function in charts)
    template = environment.get_template("page.html", globals=vars(content))
    return template.render(
        name=content.run.resolve().name,
        curves=_shown([content.run / "curves.png"]),
        inspected=_shown(sorted((content.run / "inspect").glob("*.png"))),
        error_limit=ERROR_LIMIT,
    )


def page_environment(*folders: Path) -> Environment:
    """Templates of pages in these folders, `parts.html` of this one among them; texts are escaped."""
    loader = FileSystemLoader([*folders, Path(__file__).parent])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _shown(paths: Sequence[Path]) -> dict[str, str]:
    """Those images that are there as data URIs, by name; one that cannot be read is left out, and the log says so."""
    found = {}
    for path in paths:
        try:
            found[path.stem] = image_file(path)
        except FileNotFoundError:
            pass
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what PIL says of such files
            log.warning("%s: it cannot be read, and is left out of the report (%s)", path, error)
    return found


def _spread_out(shots: Sequence[Shot], count: int) -> list[Shot]:
    """At most `count` of them, from first to last."""
    return [shots[i * len(shots) // count] for i in range(count)] if len(shots) > count else list(shots)
