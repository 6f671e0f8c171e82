"""Clothes cut from the dress form: a region bounded by level lines, spanned and lifted off the body, with folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hgg_pyg.synthetic.dress_form import DressForm
from hgg_pyg.synthetic.noise import Folds
from hgg_pyg.synthetic.raycast import Paint, Part

_HIDDEN_MARGIN = 0.035  # metres that go on under the border of what is worn above


@dataclass(frozen=True)
class Garment:
    """A garment laid out on the dress form, not yet cut."""

    level: np.ndarray  # [n] on the form's vertices: distance to the border in metres, positive inside
    clearance: Callable[[np.ndarray], np.ndarray]  # rest positions [k, 3] -> metres off the skin [k]
    paint: Paint
    folds: Callable[[np.ndarray], np.ndarray] | None = None  # chart points [k, 3] -> [k] in [0, 1]
    fold_height: float = 0.007  # metres from hollow to crest
    smoothing: int = 12  # how far the cloth spans the body's hollows

    def sew(self, form: DressForm, hidden: np.ndarray) -> Part:
        """Cut it out, leave out what is hidden, lift it off the skin.

        Args:
            form: the body.
            hidden: [n] how deep each of the form's vertices lies under the garments above, metres.
        """
        shell = form.cloth.cut(np.minimum(self.level, _HIDDEN_MARGIN - hidden))
        shell = shell.offset(self.clearance(shell.vertices), self.smoothing)
        if self.folds is not None:
            # No folds at the border, where a hem holds the cloth.
            distance = self.fold_height * self.folds(shell.chart)
            shell = replace(shell, vertices=shell.vertices + shell.normals * distance[:, None])
        return Part(shell, self.paint)


def dress(form: DressForm, garments: list[Garment], covers: list[np.ndarray], skin: Paint) -> list[Part]:
    """Sew garments over the body and take away what none can see.

    Args:
        form: the body.
        garments: the outermost first.
        covers: [n] each, levels of what is worn above all of them and was not cut from the form.
        skin: the body's colours, on its rest position as chart.

    Returns:
        The garments and the bare parts of the body.
    """
    hidden = np.maximum.reduce([*covers, np.full(len(form.surface), -1.0)])
    parts = []
    for garment in garments:
        parts.append(garment.sew(form, hidden))
        hidden = np.maximum(hidden, garment.level)
    bare = replace(form.surface, chart=form.surface.vertices, chart_normals=form.surface.normals)
    # Under hems the skin sinks a little, so that it never shows through the cloth.
    bare = bare.displaced(-0.006 * np.clip(hidden / 0.015, 0, 1)).cut(_HIDDEN_MARGIN - hidden)
    return [*parts, Part(bare, skin)]


def top(
    form: DressForm,
    paint: Paint,
    folds: Folds,
    *,
    hem: float,
    sleeve: float,
    neckline: tuple[float, float],
    clearance: float,
    looseness: float,
    opening: float | None = None,
) -> Garment:
    """A T-shirt, a shirt, a pullover or a jacket.

    Args:
        form: the body.
        paint: its colours.
        folds: its creases.
        hem: y of the lower border, metres.
        sleeve: |x| in the T-pose where the sleeves end, metres.
        neckline: metres that the collar stands up, and that a V in front reaches down.
        clearance: metres off the skin where it is tight.
        looseness: metres more at the hem and the cuffs.
        opening: half the gap down the front, metres; None for closed.
    """
    neck, shoulder = form.skeleton["neck"], form.skeleton["left_shoulder"][0]
    x, y, z = form.surface.vertices.T
    rise, depth = neckline
    ahead = z - neck[2]
    border = neck[1] + 0.01 + rise - 0.5 * ahead
    border -= depth * np.clip(ahead / 0.05, 0, 1) * np.clip(1 - np.abs(x) / 0.11, 0, 1)
    collar = np.where(np.abs(x) > shoulder - 0.04, 1.0, border - y)
    level = np.minimum.reduce([y - hem, sleeve - np.abs(x), collar])
    if opening is not None:
        gap = opening * (1 + np.clip((form.height("spine2") - y) / 0.25, -0.3, 1))
        front = (ahead > -0.03) & (form.surface.normals[:, 2] > -0.2)
        level = np.where(front, np.minimum(level, np.abs(x) - gap), level)

    def lift(points: np.ndarray) -> np.ndarray:
        reach = np.abs(points[:, 0])
        on_arm = np.clip((reach - shoulder) / 0.06, 0, 1)
        at_hem = np.clip(1 - (points[:, 1] - hem) / 0.3, 0, 1) * (1 - on_arm)
        at_cuff = np.clip(1 - (sleeve - reach) / 0.2, 0, 1) * on_arm
        return clearance * (1 - 0.3 * on_arm) + looseness * (0.25 + 0.75 * at_hem + 0.3 * at_cuff)

    return Garment(level, lift, paint, folds, 0.008, smoothing=25)


def legwear(
    form: DressForm, paint: Paint, folds: Folds, *, waist: float, hem: float, clearance: float, looseness: float
) -> Garment:
    """Trousers or shorts.

    Args:
        form: the body.
        paint: its colours.
        folds: its creases.
        waist: y of the upper border, metres.
        hem: y where the legs end, metres.
        clearance: metres off the skin.
        looseness: metres more towards the hem.
    """
    y = form.surface.vertices[:, 1]
    crotch = form.height("left_hip") - 0.08

    def lift(points: np.ndarray) -> np.ndarray:
        return clearance + looseness * np.clip((crotch - points[:, 1]) / max(crotch - hem, 0.1), 0, 1)

    return Garment(np.minimum(waist - y, y - hem), lift, paint, folds, 0.007)


def shoes(form: DressForm, paint: Paint, *, shaft: float, sole: float) -> Garment:
    """A pair of shoes or boots.

    Args:
        form: the body.
        paint: their colours.
        shaft: how far they reach up from the floor, metres.
        sole: thickness of the sole, metres.
    """
    floor = form.floor

    def lift(points: np.ndarray) -> np.ndarray:
        return 0.007 + (sole - 0.007) * np.clip(1 - (points[:, 1] - floor) / 0.03, 0, 1)

    return Garment(shaft - (form.surface.vertices[:, 1] - floor), lift, paint, smoothing=30)
