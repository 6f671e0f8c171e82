"""Hair and hats: a cap over the scalp, and what hangs from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hgg_pyg.body import JOINTS
from hgg_pyg.synthetic.dress_form import DressForm, extent
from hgg_pyg.synthetic.garments import Garment
from hgg_pyg.synthetic.noise import Folds, Noise
from hgg_pyg.synthetic.patterns import Pattern, draw_color, draw_pattern
from hgg_pyg.synthetic.raycast import Part
from hgg_pyg.synthetic.surface import Surface, sheet

# From dark to light: the first five go with any complexion.
HAIR_COLORS = (
    "#15100d",
    "#2b1b12",
    "#4a2e1c",
    "#6d4526",
    "#77736d",
    "#8c3b1f",
    "#9a6a38",
    "#c79d5c",
    "#e0c68c",
    "#d4d2cd",
)

# The hairline: degrees around the head from the face, and metres above the eyes.
_HAIRLINE = (
    (0, 30, 48, 62, 72, 84, 104, 122, 150, 180),
    (0.058, 0.056, 0.04, 0.0, -0.012, 0.025, 0.025, -0.03, -0.075, -0.085),
)

# The middle line of a ponytail from the middle of the skull, and its radius, metres: x, y, z, radius.
_PONYTAIL = np.array(
    [
        [0, 0.035, -0.065, 0.014],
        [0, 0.047, -0.115, 0.026],
        [0, 0.005, -0.15, 0.032],
        [0, -0.085, -0.16, 0.028],
        [0, -0.185, -0.155, 0.003],
    ]
)


@dataclass(frozen=True)
class HairPaint:
    """Strands of one colour that radiate from the crown. Callable as a `Paint`."""

    color: np.ndarray  # [3]
    crown: np.ndarray  # [3] a point below the crown, in the middle of the head
    strands: Noise
    bulk: Noise

    def __call__(self, chart: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """chart [n, 3] -> RGB [n, 3]"""
        light = 1 + 0.13 * self.strands(self.combed(chart)) + 0.06 * self.bulk(chart)
        return self.color * np.clip(light, 0.55, 1.5)[:, None]

    def combed(self, points: np.ndarray) -> np.ndarray:
        """Points moved onto an upright cylinder around the crown, squeezed downwards: strands become upright lines."""
        offset = points - self.crown
        around = np.hypot(offset[:, 0], offset[:, 2])
        radius = np.maximum(around, 1e-4)
        along = 0.12 * (points[:, 1] - around)
        return np.stack([0.09 * offset[:, 0] / radius, along, 0.09 * offset[:, 2] / radius], 1)


@dataclass(frozen=True)
class KnitPaint:
    """A knitted hat. Callable as a `Paint`."""

    pattern: Pattern
    middle: np.ndarray  # [3] of the head

    def __call__(self, chart: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """chart [n, 3] -> RGB [n, 3]"""
        around = np.arctan2(chart[:, 0] - self.middle[0], chart[:, 2] - self.middle[2])
        ribs = 0.88 + 0.12 * np.sin(around * 40)
        return self.pattern(around * 0.1, chart[:, 1], chart) * ribs[:, None]


@dataclass(frozen=True)
class Tufts:
    """Folds that run with the strands."""

    folds: Folds
    paint: HairPaint

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """points [n, 3] -> [n] in [0, 1]"""
        return self.folds(self.paint.combed(points))


@dataclass(frozen=True)
class Hairdo:
    """What one head wears."""

    worn: list[Garment]  # cut from the form, the outermost first
    hang: Callable[[list[Surface]], list[Part]]  # given all that is worn, the hair that hangs over it


def draw_hair(rng: np.random.Generator, form: DressForm, color: np.ndarray) -> Hairdo:
    """A random style: cropped, short, tousled, bob, long, ponytail, bun, or a knitted hat over one of them.

    Args:
        rng: where it comes from.
        form: the body.
        color: RGB [3].
    """
    style = rng.choice(["cropped", "short", "tousled", "bob", "long", "long", "ponytail", "bun"])
    hat = rng.random() < 0.14
    if hat and style not in ("bob", "long"):
        style = "cropped"
    thickness = {"cropped": 0.004, "short": 0.014, "tousled": 0.024, "bob": 0.018, "long": 0.014}.get(style, 0.01)
    middle = _middle(form)
    crown = middle + np.array([rng.uniform(-0.012, 0.012), 0, -0.02])
    paint = HairPaint(color, crown, Noise(rng, 0.014, 3), Noise(rng, 0.07, 2))
    tufts = Tufts(Folds(rng, 0.045, (1.0, 1.0, 1.0)), paint)
    height = {"cropped": 0.001, "tousled": 0.022, "short": 0.009}.get(style, 0.005)
    ragged = Noise(rng, 0.05, 2)
    level = scalp_level(form) + 0.004 * ragged(form.surface.vertices)
    falls = style in ("bob", "long")
    cap = Garment(level, _grown(form, thickness, falls), paint, tufts, height, smoothing=6)
    length = float(rng.uniform(0.15, 0.21) if style == "bob" else rng.uniform(0.3, 0.5))
    size = float(rng.uniform(0.9, 1.25))
    high = rng.random() < 0.5

    def hang(worn: list[Surface]) -> list[Part]:
        if falls:
            return [Part(_curtain(rng, form, worn, 0.0 if hat else 0.075, length, thickness + 0.004), paint)]
        if style == "ponytail":
            return [Part(_tube(form, middle + size * _PONYTAIL[:, :3], size * _PONYTAIL[:, 3]), paint)]
        if style == "bun":
            start = np.array([0, 0.115, -0.02]) if high else np.array([0, 0.05, -0.1])
            angle = np.linspace(0, np.pi, 9)
            path = middle + start - 0.038 * np.cos(angle)[:, None] * start / np.linalg.norm(start)
            return [Part(_tube(form, path, 0.042 * np.sin(angle) + 1e-4), paint)]
        return []

    worn = [cap]
    if hat:

        def hat_lift(points: np.ndarray) -> np.ndarray:
            return np.full(len(points), 0.018)

        base = draw_color(rng)
        knit = KnitPaint(draw_pattern(rng, base, plain=0.5), middle)
        above_eyes = form.surface.vertices - np.array([0, form.eye[1], middle[2]])
        brim = above_eyes[:, 1] - 0.035 - 0.12 * above_eyes[:, 2]  # lower behind than in front
        worn.insert(0, Garment(np.where(form.share("head") > 0.9, brim, -1.0), hat_lift, knit, smoothing=14))
    return Hairdo(worn, hang)


def scalp_level(form: DressForm) -> np.ndarray:
    """How far inside the hairline each of the form's vertices lies, metres. [n]"""
    level = _inside_hairline(form, form.surface.vertices)
    return np.where(form.share("head", "neck") > 0.95, level, -1.0)


def _inside_hairline(form: DressForm, points: np.ndarray) -> np.ndarray:
    offset = points - _middle(form)
    degrees = np.degrees(np.abs(np.arctan2(offset[:, 0], offset[:, 2])))
    level = points[:, 1] - form.eye[1] - np.interp(degrees, *_HAIRLINE)
    mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], 1)
    from_ear = np.linalg.norm((mirrored - form.ear) * np.array([0.6, 0.8, 1]), axis=1) - 0.026
    return np.where(points[:, 1] < form.ear[1] + 0.06, np.minimum(level, from_ear), level)


def _middle(form: DressForm) -> np.ndarray:
    """The middle of the skull. [3]"""
    return np.array([0, form.eye[1] + 0.01, form.ear[2] + 0.015])


def _grown(form: DressForm, thickness: float, covered: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """Clearance of a cap of hair: thin at the hairline, and thin low down where it is `covered` by hair that falls."""

    def lift(points: np.ndarray) -> np.ndarray:
        grown = np.clip(_inside_hairline(form, points) / 0.035, 0, 1)
        if covered:
            grown *= np.clip((points[:, 1] - form.eye[1] - 0.02) / 0.05, 0, 1)
        return 0.003 + thickness * np.sqrt(grown)

    return lift


def _following(form: DressForm, heights: np.ndarray) -> np.ndarray:
    """Weights of hair that follows the head above and the back below. [...] y -> [..., J]"""
    spine2, spine3, head = (form.height(joint) for joint in ("spine2", "spine3", "head"))
    from_head = np.clip((heights - spine3) / (head - spine3), 0, 1)
    low = np.clip((spine3 + 0.08 - heights) / (spine3 + 0.08 - spine2), 0, 1)
    weights = np.zeros((*heights.shape, len(JOINTS)))
    weights[..., JOINTS.index("head")] = from_head
    weights[..., JOINTS.index("neck")] = (1 - from_head) * (1 - low) * 0.3
    weights[..., JOINTS.index("spine3")] = (1 - from_head) * (1 - low) * 0.7
    weights[..., JOINTS.index("spine2")] = (1 - from_head) * low
    return weights


def _curtain(
    rng: np.random.Generator, form: DressForm, worn: list[Surface], start: float, length: float, thickness: float
) -> Surface:
    """Hair that falls from the sides and the back of the head, `start` above the eyes to `length` below, metres."""
    middle = _middle(form)
    angles = np.radians(np.linspace(68, 292, 72))
    beside = np.clip((np.abs(np.degrees(angles) - 180) - 35) / 30, 0, 1)  # 0 behind, 1 beside the face
    beside = beside * beside * (3 - 2 * beside)
    top = form.eye[1] + start
    side = min(length, form.eye[1] - form.height("neck") + 0.005)  # ends above the shoulders
    ends = form.eye[1] - (length + beside * (side - length))
    share = np.linspace(0, 1, 40)[:, None]
    heights = top + share * (ends - top)
    # Beside the face the rays start inside of the arms.
    reach = np.where((heights < form.height("neck") + 0.05) & (beside > 0.5), 0.2, 0.32)
    body = extent([form.surface, *worn], angles, heights, middle, reach)
    radius = body + thickness * np.clip(share / 0.2, 0.2, 1) + 0.01 * share
    for row in range(1, len(radius)):
        radius[row] = np.maximum(radius[row], radius[row - 1] - 0.0015)
    for _ in range(6):
        radius[:, 1:-1] = np.maximum(body[:, 1:-1] + 0.004, (radius[:, :-2] + radius[:, 1:-1] + radius[:, 2:]) / 3)

    def grid(radius: np.ndarray, heights: np.ndarray) -> np.ndarray:
        return np.stack([radius * np.sin(angles), heights, middle[2] + radius * np.cos(angles)], -1)

    wave = Noise(rng, 0.05, 2, (1.0, 0.15, 1.0))(grid(radius, heights).reshape(-1, 3)).reshape(radius.shape)
    tips = Noise(rng, 0.02, 2)(grid(np.full(angles.shape, 0.1), 0 * angles))
    points = grid(radius + 0.005 * (1 + wave) * np.clip(share / 0.3, 0, 1), heights + 0.006 * tips * share)
    return sheet(points[:, ::-1], _following(form, points[:, ::-1, 1]), closed=False)


def _tube(form: DressForm, path: np.ndarray, radii: np.ndarray) -> Surface:
    """Hair bundled along a path in the y-z plane. path [k, 3], radii [k]"""
    fine = np.linspace(0, len(path) - 1, 28)
    centers = np.stack([np.interp(fine, np.arange(len(path)), path[:, axis]) for axis in range(3)], 1)
    radius = np.interp(fine, np.arange(len(path)), radii)
    along = np.gradient(centers, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    right = np.array([1.0, 0, 0])
    up = np.cross(along, right)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.cos(angle)[:, None] * right + np.sin(angle)[:, None] * up[:, None]
    points = centers[:, None] + radius[:, None, None] * ring
    return sheet(points, _following(form, points[..., 1]), closed=True)
