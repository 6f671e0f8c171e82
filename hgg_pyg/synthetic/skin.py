"""The body's own colours: skin with a face, and tights or socks painted on the legs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hgg_pyg.synthetic.dress_form import DressForm
from hgg_pyg.synthetic.noise import Noise
from hgg_pyg.synthetic.patterns import hex_rgb

SKIN_TONES = ("#f3d3bd", "#e8b998", "#d9a27c", "#c58a5f", "#a66f47", "#85532f", "#633c22", "#4a2c1a")
_IRISES = ("#3b2414", "#5a3a1c", "#4f6b4a", "#4d6f92", "#2a1a10")


@dataclass(frozen=True)
class SkinPaint:
    """Colours of the bare body, on its rest position. Callable as a `Paint`."""

    form: DressForm
    tone: np.ndarray  # [3]
    iris: np.ndarray  # [3]
    lips: np.ndarray  # [3]
    brows: np.ndarray  # [3]
    beard: np.ndarray | None  # [3] or none
    stocking: np.ndarray | None  # [3] or none
    stocking_top: float  # y up to which legs are stockinged, metres
    blotches: Noise

    def __call__(self, chart: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """chart [n, 3] -> RGB [n, 3]"""
        colors = self.tone * (1 + 0.025 * self.blotches(chart))[:, None]
        if self.stocking is not None:
            colors = np.where((chart[:, 1] < self.stocking_top)[:, None], self.stocking, colors)
        head = np.flatnonzero((chart[:, 1] > self.form.nose[1] - 0.12) & (np.abs(chart[:, 0]) < 0.12))
        colors[head] = self._face(chart[head], colors[head])
        return colors

    def _face(self, points: np.ndarray, colors: np.ndarray) -> np.ndarray:
        nose, eye = self.form.nose, self.form.eye
        side = np.abs(points[:, 0])
        x, y = side - eye[0], points[:, 1] - eye[1]
        front = points[:, 2] > eye[2] - 0.045
        mouth = points[:, 1] - (nose[1] - 0.038)

        def tint(colors: np.ndarray, share: np.ndarray, color: np.ndarray) -> np.ndarray:
            share = np.clip(share, 0, 1) * front
            return colors + share[:, None] * (color - colors)

        def spot(across: np.ndarray, up: np.ndarray, width: float, height: float) -> np.ndarray:
            """1 in the middle of an ellipse, 0 on its border."""
            return 1 - np.hypot(across / width, up / height)

        shadow, blush = self.tone * 0.62, self.tone * np.array([1.0, 0.72, 0.68])
        colors = tint(colors, 0.45 * spot(side - 0.048, points[:, 1] - nose[1], 0.03, 0.028), blush)
        colors = tint(colors, 0.9 * spot(x, y - 0.004, 0.024, 0.02), shadow)
        colors = tint(colors, 0.7 * spot(side - 0.009, points[:, 1] - nose[1] + 0.012, 0.011, 0.008), shadow * 0.7)
        colors = tint(colors, 0.35 * spot(side - 0.016, points[:, 1] - nose[1] - 0.012, 0.008, 0.03), shadow)
        if self.beard is not None:
            below = nose[1] - 0.02 - points[:, 1] + 1.1 * np.clip(side - 0.055, 0, 1)
            jaw = np.clip(below / 0.008, 0, 1) * np.clip((points[:, 2] - self.form.ear[2] - 0.005) / 0.01, 0, 1)
            share = np.clip(jaw * np.clip((points[:, 1] - nose[1] + 0.105) / 0.015, 0, 1), 0, 1)
            colors = colors + share[:, None] * 0.85 * (self.beard - colors)
        colors = tint(colors, 5 * spot(side, mouth, 0.024, 0.0095), self.lips)
        colors = tint(colors, 3 * spot(side, mouth, 0.021, 0.002), self.lips * 0.5)
        arch = y - 0.0205 - 0.12 * x + 12 * (x - 0.004) ** 2 * np.sign(x - 0.004)
        colors = tint(colors, 4 * spot(x - 0.001, arch, 0.0195, 0.006), self.brows)
        colors = tint(colors, 6 * spot(x, y - 0.0012, 0.0155, 0.0074), np.array([0.1, 0.07, 0.06]))
        colors = tint(colors, 6 * spot(x, y, 0.0138, 0.0052), np.array([0.9, 0.9, 0.88]))
        opening = spot(x, y, 0.0138, 0.0056) > 0
        colors = tint(colors, 8 * spot(x, y, 0.0062, 0.0062) * opening, self.iris)
        return tint(colors, 8 * spot(x, y, 0.003, 0.003), np.array([0.03, 0.03, 0.03]))


def draw_skin(
    rng: np.random.Generator,
    form: DressForm,
    tone: np.ndarray,
    hair: np.ndarray,
    stocking: np.ndarray | None,
    stocking_top: float,
) -> SkinPaint:
    """A random complexion.

    Args:
        rng: where it comes from.
        form: the body.
        tone: RGB [3] of the bare skin.
        hair: RGB [3]; brows and beard follow it.
        stocking: RGB [3] of socks or tights, or none.
        stocking_top: y they reach up to, metres.
    """
    lips = tone * np.array([0.9, 0.62, 0.6]) if rng.random() < 0.75 else np.array([0.66, 0.14, 0.2])
    brows = 0.75 * hair * 0.6 + 0.25 * tone * 0.5
    beard = 0.6 * hair + 0.4 * tone * 0.5 if rng.random() < 0.25 else None
    iris = hex_rgb(rng.choice(_IRISES))
    return SkinPaint(form, tone, iris, lips, brows, beard, stocking, stocking_top, Noise(rng, 0.2, 3))
