"""Skirts: a cone that hangs free from the waist and is carried along by the thighs."""

from __future__ import annotations

import numpy as np

from hgg_pyg.body import JOINTS
from hgg_pyg.synthetic.dress_form import DressForm, extent
from hgg_pyg.synthetic.raycast import Paint, Part
from hgg_pyg.synthetic.surface import sheet

_ROWS, _COLUMNS = 40, 120


def skirt(
    form: DressForm,
    paint: Paint,
    *,
    waist: float,
    hem: float,
    flare: float,
    pleats: int,
    depth: float,
    clearance: float,
) -> tuple[Part, np.ndarray]:
    """A skirt and the level of what it covers.

    Args:
        form: the body.
        paint: its colours.
        waist: y of the upper border, metres.
        hem: y of the lower border, metres.
        flare: metres the radius grows for a metre down.
        pleats: how many waves run around the hem.
        depth: height of those waves at the hem, metres.
        clearance: metres off the body where it is tight.

    Returns:
        The part, and for each of the form's vertices the distance inside its borders, metres [n].
    """
    angles = np.linspace(0, 2 * np.pi, _COLUMNS, endpoint=False)
    share = np.linspace(0, 1, _ROWS)[:, None]
    heights = waist + share * (hem - waist) + 0 * angles
    axis = form.skeleton["pelvis"] * np.array([0, 0, 1])
    body = extent([form.surface], angles, heights, axis, reach=0.45) + clearance
    radius = body.copy()
    for row in range(1, _ROWS):
        down = (heights[row - 1] - heights[row])[0]
        radius[row] = np.maximum(body[row], radius[row - 1] + flare * down)
    for _ in range(12):  # span the hollows around the body, as hanging cloth does
        ring = (np.roll(radius, 1, 1) + np.roll(radius, -1, 1)) / 2
        radius = np.maximum(radius, ring)
    radius = radius + depth * share * (1 + np.sin(pleats * angles + 0.6 * np.sin(3 * angles)))
    points = np.stack([axis[0] + radius * np.sin(angles), heights, axis[2] + radius * np.cos(angles)], -1)
    surface = sheet(points[:, ::-1], _carried(form, points)[:, ::-1], closed=True)
    y = form.surface.vertices[:, 1]
    in_reach = np.abs(form.surface.vertices[:, 0]) < 0.4
    return Part(surface, paint), np.where(in_reach, np.minimum(waist - y, y - hem - 0.03), -1.0)


def _carried(form: DressForm, points: np.ndarray) -> np.ndarray:
    """Weights: the waist follows the trunk, farther down the thigh of that side takes over. [..., 3] -> [..., J]"""
    hip, knee, spine = form.height("left_hip"), form.height("left_knee"), form.height("spine1")
    height = points[..., 1]
    thigh = np.clip((hip + 0.06 - height) / 0.22, 0, 1)
    thigh = 0.92 * thigh * thigh * (3 - 2 * thigh)
    trunk = np.clip((height - hip - 0.06) / (spine - hip), 0, 0.6)
    shin = 0.35 * np.clip((knee + 0.03 - height) / 0.08, 0, 1)
    left = 1 / (1 + np.exp(-points[..., 0] / 0.045))
    weights = np.zeros((*height.shape, len(JOINTS)))
    for side, share in (("left", left), ("right", 1 - left)):
        weights[..., JOINTS.index(f"{side}_hip")] = thigh * share * (1 - shin)
        weights[..., JOINTS.index(f"{side}_knee")] = thigh * share * shin
    weights[..., JOINTS.index("spine1")] = (1 - thigh) * trunk
    weights[..., JOINTS.index("pelvis")] = (1 - thigh) * (1 - trunk)
    return weights
