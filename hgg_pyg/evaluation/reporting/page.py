"""The report as one HTML file: nothing is fetched, images are inside. What it looks like is in `page.html`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from PIL import Image

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


def page(content: Page) -> str:
    """The whole file as text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    charts = (colour_bar, error_map, jpeg, psnr_over_frames, _spread_out, zip)
    environment.globals.update((function.__name__.lstrip("_"), function) for function in charts)
    template = environment.from_string(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"), vars(content))
    return template.render(
        name=content.run.resolve().name,
        curves=_shown([content.run / "curves.png"]),
        inspected=_shown(sorted((content.run / "inspect").glob("*.png"))),
        error_limit=ERROR_LIMIT,
    )


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
