"""The report as one HTML file: nothing is fetched, images are inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from hgg_pyg.evaluation.reporting.charts import ERROR_LIMIT, colour_bar, error_map, image_file, jpeg, psnr_over_frames
from hgg_pyg.evaluation.reporting.gallery import Gallery, Shot
from hgg_pyg.evaluation.reporting.tables import Table
from hgg_pyg.evaluation.scores import ImageScore

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1500px; margin: 24px auto; padding: 0 20px; color: #1c1c1c; }
h1 { font-size: 26px; } h2 { font-size: 20px; margin-top: 40px; border-bottom: 1px solid #ccc; }
h3 { font-size: 16px; margin: 26px 0 6px; } ul { padding-left: 22px; } p.small, li { color: #444; }
table { border-collapse: collapse; margin: 10px 0 18px; } caption { text-align: left; color: #444; padding: 4px 0; }
th, td { padding: 4px 12px; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th { font-weight: 600; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .wide img.figure { max-width: 100%; }
.row { display: flex; gap: 6px; margin: 0 0 16px; overflow-x: auto; }
.row figure { margin: 0; } .row img { width: 200px; display: block; border: 1px solid #eee; }
.row figcaption { font-size: 12.5px; color: #444; width: 200px; } .label { margin: 8px 0 2px; font-weight: 600; }
.none { width: 200px; height: 200px; background: #eee; color: #777; display: grid; place-items: center; }
"""


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
    title = f"Evaluation of {content.run.resolve().name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<h2>Summary</h2>",
        content.summary.html(),
        *(table.html() for table in content.gains),
        _list(content.remarks),
        "<h2>How it was computed</h2>",
        _list(content.definitions),
    ]
    curves = content.run / "curves.png"
    if curves.is_file():
        parts += ["<h2>Training</h2>", _figure(image_file(curves), "training curves")]
    parts += ["<h2>Subjects</h2>", *(table.html() for table in content.subjects)]
    if content.images:
        parts += [
            "<h2>PSNR over frames</h2>",
            '<p class="small">Means over subjects and cameras.</p>',
            _figure(psnr_over_frames(content.images, content.tasks, content.methods), "PSNR over frames"),
        ]
    if content.gallery.shown and content.images:
        parts += _images(content)
    inspected = sorted((content.run / "inspect").glob("*.png"))
    if inspected:
        parts.append("<h2>Inside the network</h2>")
        for path in inspected:
            parts += [f"<h3>{escape(path.stem)}</h3>", _figure(image_file(path), path.stem)]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _images(content: Page) -> list[str]:
    parts = [
        "<h2>Images</h2>",
        f'<p class="small">Error maps: black is 0, the brightest colour {ERROR_LIMIT} and more, the same in all.</p>',
        _figure(colour_bar(), "scale of the error maps"),
    ]
    gallery, direct, ours = content.gallery, content.methods[0], content.methods[1]
    for task in content.tasks:
        kinds = (
            (f"worst of {ours}, by PSNR", gallery.worst(task)),
            (f"where {ours} gains least over {direct} (a negative gain is a loss)", gallery.least_gain(task)),
            ("evenly spaced", _spread_out(gallery.typical(task), gallery.shown)),
        )
        for kind, shots in kinds:
            parts.append(f"<h3>{escape(task)}: {escape(kind)}</h3>")
            parts += [_row(shot, content.methods) for shot in shots]
    return parts


def _spread_out(shots: Sequence[Shot], count: int) -> list[Shot]:
    """At most `count` of them, from first to last."""
    return [shots[i * len(shots) // count] for i in range(count)] if len(shots) > count else list(shots)


def _row(shot: Shot, methods: Sequence[str]) -> str:
    cells = [_cell(jpeg(shot.truth), "ground truth")]
    pairs = list(zip(methods, shot.rendered, shot.psnr, strict=True))
    for method, image, psnr in pairs:
        caption = f"{method}, {psnr:.2f} dB" if psnr is not None else method
        cells.append(_cell(None if image is None else jpeg(image), caption))
    cells += [_cell(jpeg(error_map(i, shot.truth)), f"error of {method}") for method, i, _ in pairs if i is not None]
    direct, ours = shot.psnr[:2]
    gain = f"; gain {ours - direct:+.2f} dB" if direct is not None and ours is not None else ""
    label = f"{shot.subject}, frame {shot.frame}, {shot.camera}{gain}"
    return f'<div class="label">{escape(label)}</div>\n<div class="row">{"".join(cells)}</div>'


def _cell(source: str | None, caption: str) -> str:
    shown = '<div class="none">no image</div>' if source is None else f'<img src="{source}" alt="{escape(caption)}">'
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _figure(source: str, title: str) -> str:
    return f'<div class="wide"><img class="figure" src="{source}" alt="{escape(title)}"></div>'


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
