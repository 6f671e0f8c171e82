"""A random person: shape, complexion, hair and clothes, as one figure ready to be posed and rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.synthetic.config import Clothes
from hgg_pyg.synthetic.dress_form import DressForm, make_dress_form
from hgg_pyg.synthetic.garments import Garment, dress, legwear, shoes, top
from hgg_pyg.synthetic.hair import HAIR_COLORS, draw_hair
from hgg_pyg.synthetic.noise import Folds, Noise
from hgg_pyg.synthetic.patterns import (
    Fabric,
    Pattern,
    ShoePaint,
    draw_color,
    draw_contrast,
    draw_pattern,
    draw_print,
    hex_rgb,
)
from hgg_pyg.synthetic.raycast import Figure, Part
from hgg_pyg.synthetic.skeleton import Skeleton
from hgg_pyg.synthetic.skin import SKIN_TONES, draw_skin
from hgg_pyg.synthetic.skirt import skirt


@dataclass(frozen=True)
class Person:
    """One synthetic person."""

    betas: np.ndarray  # [10]
    skeleton: Skeleton
    figure: Figure


def draw_person(rng: np.random.Generator, body: BodyModel, clothes: Clothes = "any") -> Person:
    """A random person on the given body; in a bodysuit it is the same one, without hair."""
    betas = np.clip(rng.normal(0, 0.8, 10), -2, 2).astype(np.float32)
    form = make_dress_form(body, betas)
    shade = rng.integers(len(SKIN_TONES))
    tone = hex_rgb(SKIN_TONES[shade]) * rng.uniform(0.95, 1.04)
    natural = HAIR_COLORS if shade < 4 else HAIR_COLORS[:5]
    hair_color = hex_rgb(rng.choice(natural)) if rng.random() < 0.93 else draw_color(rng, neutral=0)
    hairdo = draw_hair(rng, form, hair_color)
    wardrobe = _Wardrobe(rng, form)
    wardrobe.fill()
    skin = draw_skin(rng, form, tone, hair_color, wardrobe.stocking, wardrobe.stocking_top)
    if clothes == "bodysuit":
        suit = replace(skin, stocking=1 - 0.8 * tone, stocking_top=form.height("neck"))
        return Person(betas, form.skeleton, Figure([Part(form.surface, suit)]))
    parts = dress(form, [*hairdo.worn, *wardrobe.garments], wardrobe.covers, skin)
    hanging = hairdo.hang([part.surface for part in parts])
    return Person(betas, form.skeleton, Figure([*parts, *wardrobe.free, *hanging]))


class _Wardrobe:
    """What a person wears, drawn at random from the outside in."""

    def __init__(self, rng: np.random.Generator, form: DressForm) -> None:
        self._rng, self._form = rng, form
        self.garments: list[Garment] = []  # the outermost first
        self.free: list[Part] = []
        self.covers: list[np.ndarray] = []
        self.stocking: np.ndarray | None = None
        self.stocking_top = -10.0

    def fill(self) -> None:
        """Draw all of it."""
        rng, form = self._rng, self._form
        hip, waist = form.height("left_hip"), form.height("left_hip") + 0.13
        skirted, jacketed, tucked = rng.random() < 0.36, rng.random() < 0.34, rng.random() < 0.3
        dressed = skirted and rng.random() < 0.4  # a dress: skirt and top of one cloth
        tucked = tucked or skirted
        upper = self._fabric(chest=True)
        if jacketed:
            self._jacket(hip)
        if not tucked:
            self._top(upper, hem=hip - rng.uniform(-0.02, 0.04), clearance=0.02, jacketed=jacketed)
        ankle = form.height("left_ankle")
        boots = rng.random() < 0.3
        if skirted:
            lower = replace(upper, sleeves=upper.front) if dressed else self._fabric(chest=False)
            knee = form.height("left_knee")
            part, cover = skirt(
                form,
                lower,
                waist=waist + 0.02,
                hem=float(knee + rng.uniform(-0.03, 0.2)),
                flare=float(rng.uniform(0.15, 0.5)),
                pleats=int(rng.integers(7, 16)),
                depth=float(rng.uniform(0.004, 0.014)),
                clearance=0.022,
            )
            self.free.append(part)
            self.covers.append(cover)
            if rng.random() < 0.5:
                self.stocking, self.stocking_top = draw_color(rng, 0.7), hip + 0.1
            if boots:
                self._shoes(shaft=float(rng.uniform(0.16, 0.38)))
        else:
            short = rng.random() < 0.28
            if boots and not short:
                self._shoes(shaft=float(rng.uniform(0.16, 0.34)))
            hem = hip - rng.uniform(0.22, 0.36) if short else ankle - 0.035
            self._legwear(waist, float(hem), short, tight=boots and not short)
            if short and rng.random() < 0.6:
                self.stocking, self.stocking_top = draw_color(rng, 0.7), ankle + rng.uniform(0.05, 0.25)
            if boots and short:
                self._shoes(shaft=float(rng.uniform(0.16, 0.25)))
        if tucked:
            self._top(upper, hem=waist - 0.08, clearance=0.009, jacketed=jacketed)
        if not boots:
            self._shoes(shaft=float(rng.uniform(0.075, 0.1)))

    def _fabric(self, chest: bool, plain: float = 0.28, seamed: float = 0.0) -> Fabric:
        rng, form = self._rng, self._form
        base = draw_color(rng)
        front = draw_pattern(rng, base, plain)
        kind = rng.random()
        back: Pattern = draw_pattern(rng, draw_contrast(rng, base), 0.6) if kind < (0.2 if chest else 0.06) else front
        sleeves: Pattern = draw_pattern(rng, draw_contrast(rng, base), 0.6) if chest and 0.2 < kind < 0.5 else front
        prints = [None, None]
        if chest:
            level = form.height("spine3") + 0.03
            prints = [draw_print(rng, base, (0.0, level)) if rng.random() < p else None for p in (0.5, 0.4)]
        x, y, _ = form.skeleton["left_shoulder"].tolist()
        creases = Folds(rng, 0.12, (1.0, 0.4, 1.0)) if rng.random() < 0.6 else Folds(rng, 0.1, (0.45, 1.0, 0.45))
        seam = draw_contrast(rng, base) if rng.random() < seamed else None
        return Fabric(front, back, sleeves, (x - 0.005, y), (prints[0], prints[1]), seam, Noise(rng, 0.02, 2), creases)

    def _top(self, fabric: Fabric, hem: float, clearance: float, jacketed: bool) -> None:
        rng, form = self._rng, self._form
        shoulder, elbow, wrist = (form.skeleton[f"left_{j}"][0] for j in ("shoulder", "elbow", "wrist"))
        sleeve = rng.choice([shoulder + 0.04, shoulder + 0.14, elbow - 0.03, elbow + 0.1, wrist - 0.02])
        neckline = [(0.0, 0.0), (0.0, 0.07), (0.035, 0.0), (-0.012, 0.03)][rng.integers(4)]
        looseness = 0.006 if jacketed else float(rng.uniform(0.006, 0.028))
        self.garments.append(
            top(
                form,
                fabric,
                fabric.creases,
                hem=float(hem),
                sleeve=float(sleeve),
                neckline=neckline,
                clearance=clearance,
                looseness=looseness,
            )
        )

    def _jacket(self, hip: float) -> None:
        rng, form = self._rng, self._form
        fabric = self._fabric(chest=False, plain=0.65, seamed=0.7)
        self.garments.append(
            top(
                form,
                fabric,
                fabric.creases,
                hem=float(hip - rng.uniform(-0.04, 0.07)),
                sleeve=float(form.skeleton["left_wrist"][0] - rng.uniform(0.0, 0.06)),
                neckline=(0.02, 0.0),
                clearance=0.029,
                looseness=float(rng.uniform(0.008, 0.02)),
                opening=None if rng.random() < 0.25 else float(rng.uniform(0.03, 0.075)),
            )
        )

    def _legwear(self, waist: float, hem: float, short: bool, tight: bool) -> None:
        rng = self._rng
        fabric = self._fabric(chest=False, plain=0.6)
        looseness = 0.004 if tight else float(rng.uniform(0.008, 0.03 if short else 0.026))
        self.garments.append(
            legwear(
                self._form,
                fabric,
                fabric.creases,
                waist=waist,
                hem=hem,
                clearance=0.009,
                looseness=looseness,
            )
        )

    def _shoes(self, shaft: float) -> None:
        rng, form = self._rng, self._form
        color = draw_color(rng, neutral=0.6)
        paint = ShoePaint(color, draw_contrast(rng, color), form.floor + 0.008, bool(rng.random() < 0.5))
        self.garments.append(shoes(form, paint, shaft=shaft, sole=float(rng.uniform(0.012, 0.025))))
