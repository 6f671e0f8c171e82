"""Cameras and the person's path from above and from the side: wrong scales and axes are seen at a glance."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hgg_pyg.data.clips import even_frames
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.prepare.report.charts import COLORS, TEXT, short, styled
from hgg_pyg.prepare.report.silhouettes import posed_vertices

_FIGURES = 3  # moments in which the body is drawn
_WIDTH = 7.2  # inches
_POINTS = 1500  # of a body
_MOST_NAMES = 16  # more would cover each other
_CONE = 0.12  # length of a camera's field of view over the extent of the scene


def stage_view(prepared: Prepared) -> Figure:
    """One picture below the other, to one scale, with the world's axes as they are."""
    calibration = prepared.calibration
    centres = -np.einsum("vji,vj->vi", calibration.R, calibration.T)
    moments = even_frames(0, len(prepared.times), _FIGURES)
    bodies = [posed_vertices(prepared.body, prepared.pose, frame) for frame in moments]
    path = (prepared.pose.transl + prepared.body.rest_joints(prepared.pose.betas)[0]).double().numpy()
    up, sign = upwards(prepared, bodies[0])
    shown = np.concatenate([centres, path, *bodies])
    low, high = np.nanmin(shown, 0), np.nanmax(shown, 0)  # of a fit that failed at least the cameras
    cone = _CONE * float((high - low).max())
    low, high = low - cone, high + cone
    wide, deep = sorted((axis for axis in range(3) if axis != up), key=lambda axis: low[axis] - high[axis])
    heights = [float(high[axis] - low[axis]) for axis in (deep, up)]
    with styled():
        inches = _WIDTH * sum(heights) / float(high[wide] - low[wide])
        figure = Figure(figsize=(_WIDTH, min(max(inches + 1.4, 4), 9)), layout="constrained")
        above, side = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    for view, axis, title in ((above, deep, "from above"), (side, up, "from the side")):
        _draw(view, prepared, centres, path, bodies, [wide, axis], cone)
        view.set(title=title, ylabel=f"{'xyz'[axis]}, m", xlim=(low[wide], high[wide]), ylim=(low[axis], high[axis]))
        view.set_aspect("equal")
        view.grid(alpha=0.3)
    side.set_xlabel(f"{'xyz'[wide]}, m")
    # From above the axes are those of someone who looks down, and right is right in both pictures.
    if np.linalg.det(np.eye(3)[[wide, deep, up]]) * sign < 0:
        above.invert_yaxis()
    if sign < 0:
        side.invert_yaxis()
    return figure


def upwards(prepared: Prepared, vertices: np.ndarray) -> tuple[int, int]:
    """Which of the world's axes points up, 0 to 2, and 1 or -1 for which way: as cameras and the person stand."""
    body = prepared.body
    rest = (body.v_template - body.v_template.mean(0)).double().numpy()
    # The person's up: the direction in which heights at rest grow
    person = (vertices - vertices.mean(0)).T @ rest[:, 1]
    upright = -prepared.calibration.R[:, 1].mean(0)
    votes = np.nan_to_num(person / (np.linalg.norm(person) or 1)) + upright
    axis = int(np.abs(votes).argmax())
    return axis, 1 if votes[axis] >= 0 else -1


def _draw(
    view: Axes,
    prepared: Prepared,
    centres: np.ndarray,
    path: np.ndarray,
    bodies: list[np.ndarray],
    pair: list[int],
    cone: float,
) -> None:
    calibration = prepared.calibration
    for body in bodies:
        points = body[:: max(1, len(body) // _POINTS), pair]
        view.plot(*points.T, ".", ms=1, color=COLORS[0], alpha=0.35, rasterized=True)
    view.plot(*path[:, pair].T, color=COLORS[1], lw=2)
    view.plot(*path[:1, pair].T, "o", color=COLORS[1], ms=6)
    sizes = [size or prepared.size for size in calibration.sizes]
    for number, (name, centre, R, K, size) in enumerate(
        zip(calibration.names, centres, calibration.R, calibration.K, sizes, strict=True)
    ):
        corners = np.array([[x, y, 1.0] for x, y in ((0, 0), (size[0], 0), size, (0, size[1]))]) @ np.linalg.inv(K).T
        ends = centre + cone * corners @ R
        edges = [[centre, end, following, centre] for end, following in zip(ends, np.roll(ends, -1, 0), strict=True)]
        view.plot(*np.concatenate(edges)[:, pair].T, color=COLORS[4], lw=0.9)
        view.plot(*centre[pair], "s", color=COLORS[4], ms=4)
        if number < _MOST_NAMES:
            view.annotate(short(name), centre[pair], (5, 5), textcoords="offset points", color=TEXT, fontsize=9)
