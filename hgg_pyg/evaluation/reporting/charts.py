"""Images of a report as data URIs."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from hgg_pyg.evaluation.scores import ImageScore
from hgg_pyg.io.data_uris import data_uri, image_uri
from hgg_pyg.io.shown import drawable

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

ERROR_LIMIT = 0.4  # of the data range: where the colours of error maps end
_COLORS = "magma"
_LONGEST = 256  # pixels: larger images are shrunk for the page
_WIDEST = 1600  # pixels, of whole figures


def jpeg(image: np.ndarray) -> str:
    """A photograph-like image as a data URI. [H, W, 3] uint8"""
    shown = Image.fromarray(image)
    shown.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return image_uri(shown, "JPEG", quality=88, subsampling=0)


def error_map(rendered: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The absolute error of each pixel, mean over colours, as a colour from 0 to `ERROR_LIMIT`. [H, W, 3] uint8 x 2"""
    error = np.abs(rendered.astype(np.float32) - truth.astype(np.float32)).mean(-1) / 255
    colors = matplotlib.colormaps[_COLORS](np.clip(error / ERROR_LIMIT, 0, 1))
    return (colors[..., :3] * 255).round().astype(np.uint8)


def colour_bar() -> str:
    """The scale of `error_map`."""
    figure, axis = plt.subplots(figsize=(4.6, 0.75), layout="constrained")
    scale = ScalarMappable(Normalize(0, ERROR_LIMIT), _COLORS)
    figure.colorbar(scale, cax=axis, orientation="horizontal", extend="max")
    axis.set_xlabel("absolute error, mean over R, G and B; colours go from 0 to 1", fontsize=8)
    axis.tick_params(labelsize=8)
    return _figure(figure, dpi=110)


def image_file(path: Path) -> str:
    """A PNG file as a data URI, shrunk where it is very wide."""
    with Image.open(path) as image:
        shown = image.convert("RGB")
    shown.thumbnail((_WIDEST, 4 * _WIDEST), Image.Resampling.LANCZOS)
    png = image_uri(shown, "PNG", optimize=True)
    # Line plots are smaller as PNG, renders are many times smaller as JPEG.
    return png if len(png) < 400_000 else min(png, image_uri(shown, "JPEG", quality=88, subsampling=0), key=len)


def psnr_over_frames(scores: Sequence[ImageScore], tasks: Sequence[str], methods: Sequence[str]) -> str:
    """PSNR of each frame, mean over subjects and cameras, a panel per task with a line per method."""
    shown = [task for task in tasks if any(score.task == task for score in scores)]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(5.6 * len(shown), 3.4), layout="constrained", sharey=True, squeeze=False
    )
    for axis, task in zip(axes[0], shown, strict=True):
        for number, method in enumerate(methods):
            values: dict[int, list[float]] = defaultdict(list)
            for score in scores:
                if (score.task, score.method) == (task, method):
                    values[score.after].append(score.psnr)
            if values:
                frames = sorted(values)
                color = "0.45" if number == 0 else f"C{number - 1}"
                means, name = [np.mean(values[f]) for f in frames], drawable(method)
                axis.plot(frames, means, "o-", ms=4, lw=1.4, color=color, label=name)
        axis.set_title(task)
        pose = any(score.after > 0 for score in scores if score.task == task)
        axis.set_xlabel("frames after the input range" if pose else "input frames (0: the last of the input range)")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("PSNR of whole images, dB")
    axes[0, 0].legend(fontsize=8)
    return _figure(figure, dpi=100)


def _figure(figure: Figure, dpi: int) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi)
    plt.close(figure)
    return data_uri(buffer.getvalue(), "image/png")
