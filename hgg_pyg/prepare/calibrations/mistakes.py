"""The mistakes that calibrations are made with, each as what undoes it, and what to tell the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, permutations
from typing import Literal

import numpy as np

from hgg_pyg.prepare.calibrations.disagreement import Views

_FLIP = np.diag([1.0, -1.0, -1.0])  # between OpenCV's axes and OpenGL's
_FACTORS = (0.125, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 4 / 3, 1.5, 2.0, 3.0, 4.0, 8.0)
_LATE = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)  # images that one camera is tried late and early
_SHUFFLED = 5  # cameras of which all orders are tried

Family = Literal["extrinsics", "intrinsics", "footage"]


@dataclass(frozen=True)
class Mistake:
    """One guess: undone by a function of the views, with words for it."""

    family: Family
    words: str
    mend: Callable[[Views], Views]


def of_all_cameras(views: Views) -> list[Mistake]:
    """Guesses about the whole calibration, or all footage."""
    return [*_EXTRINSICS, *_intrinsics(views), *_turned(views)]


def of_some_cameras(views: Views) -> Iterator[Mistake]:
    """Guesses about one camera, or several that are exchanged."""
    names = views.calibration.names
    for camera, name in enumerate(names):
        yield Mistake(
            "footage",
            f"camera '{name}': its images look mirrored left to right, as selfies are; mirror them back",
            partial(_mirrored, (camera,)),
        )
        for turns in (1, 2, 3):
            yield _turn((camera,), f"camera '{name}': its images look", turns, views)
    for a, b in combinations(range(len(names)), 2):
        yield _exchange_cameras(names, [b if each == a else a if each == b else each for each in range(len(names))])
    if len(names) <= _SHUFFLED:
        for order in permutations(range(len(names))):
            if sum(each != place for place, each in enumerate(order)) > 2:
                yield _exchange_cameras(names, order)


def of_time(views: Views, every: int) -> Iterator[Mistake]:
    """Guesses about one camera that is late or early."""
    for camera, name in enumerate(views.calibration.names):
        for late in (sign * count for count in _LATE for sign in (1, -1)):
            if len(views.points2d) > 2 * abs(late):
                yield _late(camera, name, late, every)


def _exchange_cameras(names: Sequence[str], order: Sequence[int]) -> Mistake:
    """`order`: by camera, which one's images are its."""
    moved = [f"'{names[each]}'" for place, each in enumerate(order) if each != place]
    if len(moved) == 2:
        words = f"cameras {moved[1]} and {moved[0]}: their calibrations, or their videos, look exchanged"
    else:
        pairs = ", ".join(f"'{names[each]}' for '{names[place]}'" for place, each in enumerate(order) if each != place)
        words = f"calibrations, or videos, look shuffled: take the video {pairs}"
    return Mistake("footage", words, partial(_exchanged, order))


def _late(camera: int, name: str, late: int, every: int) -> Mistake:
    frames = abs(late) * every
    direction = "late" if late > 0 else "early"
    return Mistake(
        "footage",
        f"camera '{name}': its images look {frames} frame{'s' * (frames != 1)} too {direction}; "
        f"--offset {name}={late * every} (added to what it is now)",
        partial(_delayed, camera, late),
    )


def _delayed(camera: int, late: int, views: Views) -> Views:
    moved = np.full_like(views.points2d[:, camera], np.nan)
    if late > 0:
        moved[:-late] = views.points2d[late:, camera]
    else:
        moved[-late:] = views.points2d[:late, camera]
    points2d = views.points2d.copy()
    points2d[:, camera] = moved
    return replace(views, points2d=points2d)


def _extrinsics(words: str, change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Mistake:
    def mend(views: Views) -> Views:
        R, T = change(views.calibration.R, views.calibration.T)
        return views.with_cameras(R=R, T=T)

    return Mistake("extrinsics", f"R and T of all cameras: {words}", mend)


def _inverted(R: np.ndarray, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return R.transpose(0, 2, 1), _times(R.transpose(0, 2, 1), -T)


def _in_opengl(R: np.ndarray, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _FLIP @ R, T @ _FLIP


def _times(R: np.ndarray, T: np.ndarray) -> np.ndarray:
    return (R @ T[:, :, None])[..., 0]


_EXTRINSICS = (
    _extrinsics("they look camera-to-world; world-to-camera is expected: R' = R^T, T' = -R^T T", _inverted),
    _extrinsics(
        "T looks like the camera's position C in the world; T' = -R C is expected",
        lambda R, T: (R, _times(R, -T)),
    ),
    _extrinsics(
        "their camera looks along -z with y up, as OpenGL's and Blender's; OpenCV's axes are expected: negate rows 2 "
        "and 3 of R, and the last two numbers of T",
        _in_opengl,
    ),
    _extrinsics(
        "they look camera-to-world in OpenGL's axes, as in NeRF's transforms.json; negate columns 2 and 3 of R, then "
        "R' = R^T, T' = -R^T T",
        lambda R, T: _in_opengl(*_inverted(R, T)),
    ),
    _extrinsics("R looks transposed; set R' = R^T and leave T", lambda R, T: (R.transpose(0, 2, 1), T)),
    _extrinsics(
        "R looks transposed, and T negated; set R' = R^T, T' = -T",
        lambda R, T: (R.transpose(0, 2, 1), -T),
    ),
)


def _intrinsics(views: Views) -> list[Mistake]:
    K = views.calibration.K
    factors = list(_FACTORS)
    if (K[:, :2, 2] > 0).all():
        central = float(np.median(np.array(views.sizes) / 2 / K[:, :2, 2]))
        if abs(central - 1) > 0.05 and min(abs(central / factor - 1) for factor in factors) > 0.02:
            factors.append(central)
    found = [
        Mistake(
            "intrinsics",
            f"K of all cameras: it looks calibrated for images {1 / factor:.3g} times as large as these; multiply fx, "
            f"fy, cx and cy by {factor:.4g}, or state the size that it is for",
            partial(_resized, factor),
        )
        for factor in factors
    ]
    found.append(
        Mistake("intrinsics", "K of all cameras: x and y look exchanged; exchange fx with fy and cx with cy", _exchange)
    )
    if views.calibration.distortion.any():
        found.append(
            Mistake(
                "intrinsics",
                "distortion of all cameras: the images look undistorted already; set the coefficients to zeros",
                lambda views: views.with_cameras(distortion=np.zeros_like(views.calibration.distortion)),
            )
        )
    return found


def _resized(factor: float, views: Views) -> Views:
    return views.with_cameras(K=np.diag([factor, factor, 1.0]) @ views.calibration.K)


def _exchange(views: Views) -> Views:
    K = views.calibration.K.copy()
    K[:, [0, 1], [0, 1]], K[:, :2, 2] = views.calibration.K[:, [1, 0], [1, 0]], views.calibration.K[:, 1::-1, 2]
    return views.with_cameras(K=K)


def _turned(views: Views) -> list[Mistake]:
    everyone = tuple(range(len(views.sizes)))
    mirrored = Mistake(
        "footage",
        "images of all cameras: they look mirrored left to right; mirror them back",
        partial(_mirrored, everyone),
    )
    return [mirrored, *(_turn(everyone, "images of all cameras: they look", turns, views) for turns in (1, 2, 3))]


def _turn(cameras: tuple[int, ...], whose: str, turns: int, views: Views) -> Mistake:
    back = {1: "90 degrees clockwise", 2: "180 degrees", 3: "90 degrees counterclockwise"}[turns]
    return Mistake(
        "footage",
        f"{whose} turned against the calibration: turn them by {back}",
        partial(_turned_back, cameras, turns),
    )


def _turned_back(cameras: tuple[int, ...], turns: int, views: Views) -> Views:
    """Images turned clockwise by quarters."""
    points2d, sizes = views.points2d.copy(), list(views.sizes)
    for camera in cameras:
        for _ in range(turns):
            width, height = sizes[camera]
            x, y = points2d[:, camera, :, 0].copy(), points2d[:, camera, :, 1].copy()
            points2d[:, camera, :, 0], points2d[:, camera, :, 1] = height - y, x
            sizes[camera] = (height, width)
    return replace(views, points2d=points2d, sizes=tuple(sizes))


def _mirrored(cameras: tuple[int, ...], views: Views) -> Views:
    """A network calls the right hand of somebody in a mirror the left one."""
    points2d = views.points2d.copy()
    for camera in cameras:
        own = points2d[:, camera] if views.partners is None else points2d[:, camera][:, list(views.partners)]
        points2d[:, camera] = own * [-1, 1, 1] + [views.sizes[camera][0], 0, 0]
    return replace(views, points2d=points2d)


def _exchanged(order: Sequence[int], views: Views) -> Views:
    sizes = tuple(views.sizes[camera] for camera in order)
    return replace(views, points2d=views.points2d[:, list(order)], sizes=sizes)
