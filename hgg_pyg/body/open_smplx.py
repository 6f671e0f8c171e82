"""An open stand-in for SMPL-X, made of the default body when it is needed.

It has SMPL-X's format: 10,475 vertices, 55 joints in SMPL-X's order, 10 directions of shape and 10 of expression, hands
with principal poses. The first 6,890 vertices and the first 22 joints are the default body's, so that a pose of these
joints gives the same surface. It is **not** SMPL-X: vertices do not correspond, betas, expressions and coefficients of
hands are not interchangeable, and joints differ by centimetres.
"""

from __future__ import annotations

import numpy as np

from hgg_pyg.body.arrays import BodyArrays, read_body
from hgg_pyg.body.files import DEFAULT_BODY

_VERTICES = 10475
_BODY, _HEAD, _WRISTS, _SMPL_HANDS = 22, 15, (20, 21), (22, 23)
_JAW, _EYES, _FINGERS = 22, (23, 24), (25, 40)
_RAYS = (  # where fingers of the left hand point in the default body's T-pose: (x, z) of knuckle and tip, metres
    ((0.768, 0.062), (0.842, 0.080)),  # index
    ((0.770, 0.041), (0.856, 0.038)),  # middle
    ((0.762, 0.000), (0.811, -0.017)),  # pinky
    ((0.770, 0.020), (0.846, 0.004)),  # ring
    ((0.715, 0.078), (0.765, 0.113)),  # thumb
)
_PHALANGES = (0.0, 0.42, 0.72)  # how far along its ray a finger bends
_HINGE, _MOUTH = (0.064, 0.405), (0.165, 0.389)  # (z, y): the jaw is what lies below the line through them
_EYE, _EYE_SIZE = (0.0305, 0.457), (0.017, 0.008)  # (x, y) of the left eye, and its half axes
_EXPRESSIONS = (  # (x, y) of the left half, or of the middle; radius; which way it moves: x, y, z
    ((0.0, 0.372), 0.018, (0.0, -1.0, 0.0)),  # lower lip down
    ((0.026, 0.390), 0.014, (0.6, 0.8, -0.2)),  # corners of the mouth up
    ((0.0, 0.390), 0.016, (0.0, 0.0, 1.0)),  # lips forward
    ((0.0, 0.400), 0.012, (0.0, 1.0, 0.2)),  # upper lip up
    ((0.032, 0.474), 0.016, (0.0, 1.0, 0.0)),  # brows up
    ((0.012, 0.472), 0.012, (-0.8, -0.6, 0.2)),  # brows together
    ((0.045, 0.400), 0.020, (0.9, 0.0, 0.4)),  # cheeks out
    ((0.012, 0.425), 0.012, (0.5, 0.8, 0.0)),  # nostrils up
    ((0.030, 0.464), 0.010, (0.0, -1.0, 0.2)),  # upper lids down
    ((0.0, 0.355), 0.016, (0.0, 0.3, 1.0)),  # chin forward
)
_EXPRESSION_UNIT = 0.004  # metres at the middle of a direction
_RELAXED = 0.15  # radians: how far the mean hand bends each joint of its fingers


def open_smplx() -> BodyArrays:
    """Make the stand-in; the same arrays at every call."""
    body = read_body(DEFAULT_BODY)
    ends, faces = _subdivide(body.v_template, body.f.astype(np.int64), _VERTICES - len(body.v_template))

    def refine(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values[ends].mean(1, dtype=np.float32)])

    vertices, weights = refine(body.v_template), refine(body.weights)
    skinning = np.zeros((_VERTICES, 55), np.float32)
    skinning[:, :_BODY] = weights[:, :_BODY]
    regressor = np.zeros((55, _VERTICES), np.float32)
    regressor[:_BODY, : len(body.v_template)] = body.J_regressor[:_BODY]
    _add_face(vertices, skinning, regressor)
    for side, first, wrist, hand in zip((1, -1), _FINGERS, _WRISTS, _SMPL_HANDS, strict=True):
        skinning[:, wrist] += weights[:, hand]
        _add_hand(vertices * np.array([side, 1, 1], np.float32), skinning, regressor, first, wrist)
    mirror = np.tile([1.0, -1.0, -1.0], 15)  # a rotation's mirror image in x
    components, mean = _cosines(45), np.tile([0.0, 0.0, -_RELAXED], 15)
    return BodyArrays(
        v_template=vertices,
        f=faces.astype(np.uint32),
        weights=skinning.clip(min=0),  # what was taken from a joint may be a rounding more than it had
        J_regressor=regressor,
        kintree_table=np.array([_parents(), range(55)], np.int64),
        shapedirs=refine(body.shapedirs),
        posedirs=np.zeros((_VERTICES, 3, 0), np.float32),
        exprdirs=_expressions(vertices, weights[:, _HEAD]),
        hands_componentsl=components.astype(np.float32),
        hands_componentsr=(components * mirror).astype(np.float32),
        hands_meanl=mean.astype(np.float32),
        hands_meanr=(mean * mirror).astype(np.float32),
        is_open=True,
    )


def _parents() -> list[int]:
    """SMPL-X's tree: SMPL's without its hands; jaw and eyes on the head; five fingers of three joints on each wrist."""
    parents = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, _HEAD, _HEAD, _HEAD]
    for wrist, first in zip(_WRISTS, _FINGERS, strict=True):
        for base in range(first, first + 15, 3):
            parents += [wrist, base, base + 1]
    return parents


def _subdivide(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the `count` longest edges of a closed mesh at their middles, no two of them in one face.

    Returns:
        ends [count, 2] of the edges split, which the new vertices lie between; all faces [F + 2 * count, 3].
    """
    sides = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    order = np.lexsort(np.sort(sides, 1).T)  # the two sides of an edge come together
    pairs = order.reshape(-1, 2)
    starts, stops = vertices[sides[pairs[:, 0]]].transpose(1, 0, 2)
    free, split = np.ones(len(faces), bool), []
    for edge in np.argsort(-np.linalg.norm(starts - stops, axis=1), kind="stable"):
        one, other = pairs[edge] // 3
        if free[one] and free[other]:
            free[[one, other]] = False
            split.append(edge)
            if len(split) == count:
                break
    chosen = pairs[split]
    new = np.repeat(np.arange(len(vertices), len(vertices) + count), 2)
    face, corner = np.divmod(chosen.ravel(), 3)
    start, stop, apex = (faces[face, (corner + step) % 3] for step in range(3))
    faces = faces.copy()
    faces[face] = np.stack([start, new, apex], 1)
    return sides[chosen[:, 0]], np.concatenate([faces, np.stack([new, stop, apex], 1)])


def _add_face(vertices: np.ndarray, skinning: np.ndarray, regressor: np.ndarray) -> None:
    """Hand parts of the head's weights on to jaw and eyes, and say where these joints are."""
    x, y, z = vertices.T
    slope = (_MOUTH[1] - _HINGE[1]) / (_MOUTH[0] - _HINGE[0])
    below = _HINGE[1] + slope * (z - _HINGE[0]) - y
    moves = {_JAW: _ramp(below, 0.0, 0.012) * _ramp(z, 0.080, 0.100)}
    hinge = np.square(np.abs(x) - 0.068) + np.square(z - _HINGE[0]) + np.square(y - _HINGE[1])
    places = {_JAW: np.exp(-hinge / (2 * 0.01**2))}
    for joint, side in zip(_EYES, (1, -1), strict=True):
        radius = np.hypot((side * x - _EYE[0]) / _EYE_SIZE[0], (y - _EYE[1]) / _EYE_SIZE[1])
        moves[joint] = (1 - _ramp(radius, 0.5, 1.0)) * _ramp(z, 0.10, 0.12)
        places[joint] = moves[joint]
    head = skinning[:, _HEAD].copy()
    for joint, share in moves.items():
        skinning[:, joint] = share * head
        skinning[:, _HEAD] -= skinning[:, joint]
        place = places[joint] * head
        regressor[joint] = place / place.sum()


def _add_hand(vertices: np.ndarray, skinning: np.ndarray, regressor: np.ndarray, first: int, wrist: int) -> None:
    """Hand parts of a wrist's weights on to its 15 joints of fingers, and say where these are.

    Args:
        vertices: [N, 3] mirrored for the right hand, so that it is where the left hand is.
        skinning, regressor: changed in place.
        first: the first of the 15 joints.
        wrist: their parent.
    """
    rays = np.array(_RAYS)  # [5, 2, 2]
    offset = vertices[:, None, [0, 2]] - rays[:, 0]  # [N, 5, 2]
    direction = rays[:, 1] - rays[:, 0]
    along = (offset * direction).sum(-1) / np.square(direction).sum(-1)  # 0 at the knuckle, 1 at the tip
    distance = np.linalg.norm(offset - along.clip(0, 1)[..., None] * direction, axis=-1)
    palm = skinning[:, wrist].copy()
    for finger, nearest in enumerate((distance.argmin(1)[:, None] == np.arange(5)).T):
        place = along[:, finger]
        bent = [_ramp(place, at - 0.12, at + 0.12) * nearest for at in _PHALANGES]
        for k, at in enumerate(_PHALANGES):
            joint = first + 3 * finger + k
            skinning[:, joint] = palm * (bent[k] - bent[k + 1] if k < 2 else bent[k])
            skinning[:, wrist] -= skinning[:, joint]
            ring = np.exp(-np.square((place - at) / 0.1) / 2) * nearest * palm
            regressor[joint] = ring / ring.sum()


def _expressions(vertices: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Smooth bumps on the face, alike on both halves. [N, 3, 10] metres"""
    x, y, z = vertices.T
    front = head * _ramp(z, 0.06, 0.10)
    directions = np.zeros((len(vertices), 3, len(_EXPRESSIONS)), np.float32)
    for k, ((center_x, center_y), radius, way) in enumerate(_EXPRESSIONS):
        for side in (1, -1) if center_x else (1,):
            apart = np.square(x - side * center_x) + np.square(y - center_y)
            bump = _EXPRESSION_UNIT * front * np.exp(-apart / (2 * radius**2))
            directions[..., k] += bump[:, None] * (np.array(way) * [side, 1, 1])
    return directions


def _cosines(size: int) -> np.ndarray:
    """The orthonormal discrete cosine transform, rows from smooth to rough: sqrt(2/n) cos(pi k (i + 1/2) / n)."""
    k, i = np.mgrid[:size, :size]
    rows = np.sqrt(2 / size) * np.cos(np.pi * k * (i + 0.5) / size)
    rows[0] /= np.sqrt(2)
    return rows


def _ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = ((value - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)
