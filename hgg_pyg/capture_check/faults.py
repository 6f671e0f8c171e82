"""The mistakes that captures are made with, each as what undoes it, and what to tell the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations, product
from typing import Literal

import numpy as np

from hgg_pyg.capture_check.places import Places
from hgg_pyg.capture_check.scene import Scene

Family = Literal["unit", "root", "axes", "extrinsics", "intrinsics", "images", "frames"]
Scaled = Literal["T", "transl", "T and transl"]
SCALED: tuple[Scaled, ...] = ("T", "transl", "T and transl")

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # between OpenCV's axes (y down, z forward) and OpenGL's (y up, z back)

# What a length must be multiplied by to be metres of the person, and what it then was.
LENGTHS = (
    (0.001, "in millimetres"),
    (0.01, "in centimetres"),
    (0.1, "in decimetres"),
    (0.0254, "in inches"),
    (0.3048, "in feet"),
    (1000.0, "divided by 1000 once too often"),
    (120 / 65, "not multiplied by MVHumanNet's camera_scale (1.84615, of the rig of 48 cameras)"),
    (100 / 65, "not multiplied by MVHumanNet's camera_scale (1.53846, of the rig of 16 cameras)"),
    (65 / 120, "multiplied by MVHumanNet's camera_scale (1.84615) once too often"),
    (65 / 100, "multiplied by MVHumanNet's camera_scale (1.53846) once too often"),
)
SIZES = (0.125, 0.25, 1 / 3, 0.5, 2 / 3, 1.5, 2.0, 3.0, 4.0, 8.0)
_SHIFTS = (-1, 1, -2, 2, -3, 3, -4, 4, -5, 5)


@dataclass(frozen=True)
class Fault:
    """One guess: undone by a function of the scene, with words for it."""

    family: Family  # of two faults at once, no two are of one family
    name: str
    mend: Callable[[Scene], Scene]
    advice: Callable[[Places], str]  # what to change, and where
    searched: bool = False  # with a factor fitted to the images, none that is known


def known_faults(scene: Scene) -> list[Fault]:
    """All guesses that are the same numbers for every capture; those with a number to search for are in search.py."""
    return [
        *(length_fault(scaled, factor) for scaled in SCALED for factor, _ in LENGTHS),
        *_EXTRINSICS,
        *_ROOT,
        *(_axes_fault(rotation) for rotation in _right_angle_rotations()),
        *intrinsics_faults(scene),
        *_IMAGES,
    ]


def frame_faults(scene: Scene) -> list[Fault]:
    """The poses a few frames too late or too early."""
    return [_shift_fault(shift) for shift in _SHIFTS if abs(shift) < len(scene.poses)]


def length_fault(scaled: Scaled, factor: float, known: str | None = None) -> Fault:
    """The cameras' translation, the body's, or both in other units: multiply them by `factor`."""

    def mend(scene: Scene) -> Scene:
        if scaled != "T":
            moved = (factor - 1) * scene.transl
            scene = replace(scene, vertices=scene.vertices + moved[:, None], transl=factor * scene.transl)
        if scaled != "transl":
            viewmats = scene.viewmats.copy()
            viewmats[:, :3, 3] *= factor
            scene = replace(scene, viewmats=viewmats)
        return scene

    def advice(places: Places) -> str:
        where = {
            "T": places.translation,
            "transl": places.transl,
            "T and transl": f"{places.translation}; {places.transl}",
        }
        return f"{where[scaled]}: the values seem to be {said}; multiply them by {factor:.5g}"

    known = known or next((words for value, words in LENGTHS if abs(value / factor - 1) < 1e-6), None)
    said = known or "in another unit than the body"
    return Fault("unit", f"{scaled} {said}", mend, advice, searched=known is None)


def intrinsics_fault(factor: float) -> Fault:
    """K for images of another size: multiply its first two rows by `factor`."""

    def mend(scene: Scene) -> Scene:
        return replace(scene, Ks=np.diag([factor, factor, 1.0]) @ scene.Ks)

    def advice(places: Places) -> str:
        return (
            f"{places.intrinsics}: K looks calibrated for images {1 / factor:.3g} times as large as these; "
            f"multiply fx, fy, cx and cy by {factor:.4g}{places.size_hint}"
        )

    searched = not any(abs(value / factor - 1) < 1e-6 for value in SIZES)
    return Fault("intrinsics", f"K for images {1 / factor:.3g} times as large", mend, advice, searched)


def intrinsics_faults(scene: Scene) -> list[Fault]:
    """K for images of another size, by what is usual and by where the principal point is; or width for height."""
    centers = scene.Ks[:, :2, 2]
    factors = list(SIZES)
    if (centers > 0).all():
        central = float(np.median(np.array(scene.size) / 2 / centers))
        if abs(central - 1) > 0.05 and min(abs(central / factor - 1) for factor in SIZES) > 0.02:
            factors.append(central)
    return [_SWAPPED, *map(intrinsics_fault, factors)]


def _shift_fault(shift: int) -> Fault:
    def mend(scene: Scene) -> Scene:
        moved = np.array(scene.frames) + shift
        there = (moved >= 0) & (moved < len(scene.poses))
        rows = moved.clip(0, len(scene.poses) - 1).tolist()
        return replace(scene.at_frames(rows), usable=scene.usable & there[:, None])

    count = abs(shift)
    many = f"{count} frame{'s' if count > 1 else ''}"
    late = "late" if shift > 0 else "early"  # the image of frame f shows the pose of row f + shift
    rows = (
        f"remove the first {count} rows"
        if shift > 0
        else f"put {count} rows of NaN, which are left out, before the first"
    )

    def advice(places: Places) -> str:
        return (
            f"{places.transl}, and all other values of the poses: they come {many} too {late} for the images; {rows}, "
            "or renumber the images"
        )

    return Fault("frames", f"poses {many} too {late}", mend, advice)


def _axes_fault(rotation: np.ndarray) -> Fault:
    def mend(scene: Scene) -> Scene:
        parts = {name: getattr(scene, name) @ rotation.T for name in ("vertices", "transl", "swing")}
        return replace(scene, **parts)

    axis = [next(f"{'-' if value < 0 else ''}{'xyz'[i]}" for i, value in enumerate(row) if value) for row in rotation]
    image = f"({', '.join(axis)})"
    matrix = rotation.astype(int).tolist()
    return Fault(
        "axes",
        f"poses' (x, y, z) is the cameras' {image}",
        mend,
        lambda places: (
            f"{places.rotation}: cameras and poses have worlds with different axes, the poses' (x, y, z) is the "
            f"cameras' {image}; set R' = R A with A = {matrix} and leave T"
        ),
    )


def _right_angle_rotations() -> list[np.ndarray]:
    """The rotations by multiples of 90 degrees but the identity, 23 of them."""
    found = [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3))
    ]
    return [rotation for rotation in found if np.linalg.det(rotation) > 0 and not np.array_equal(rotation, np.eye(3))]


def _change_views(change: Callable[[np.ndarray], np.ndarray], scene: Scene) -> Scene:
    return replace(scene, viewmats=change(scene.viewmats))


def _invert(viewmats: np.ndarray) -> np.ndarray:
    inverse = np.tile(np.eye(4), (len(viewmats), 1, 1))
    inverse[:, :3, :3] = viewmats[:, :3, :3].mT
    inverse[:, :3, 3:] = -viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:]
    return inverse


def _from_position(viewmats: np.ndarray) -> np.ndarray:
    moved = viewmats.copy()
    moved[:, :3, 3:] = -viewmats[:, :3, :3] @ viewmats[:, :3, 3:]
    return moved


def _transpose_rotation(viewmats: np.ndarray) -> np.ndarray:
    transposed = viewmats.copy()
    transposed[:, :3, :3] = viewmats[:, :3, :3].mT
    return transposed


def _extrinsics(name: str, change: Callable[[np.ndarray], np.ndarray], words: str) -> Fault:
    return Fault("extrinsics", name, partial(_change_views, change), lambda places: f"{places.extrinsics}: {words}")


_EXTRINSICS = (
    _extrinsics(
        "camera-to-world for world-to-camera",
        _invert,
        "they look camera-to-world; world-to-camera is expected: R' = R^T, T' = -R^T T",
    ),
    _extrinsics(
        "OpenGL's axes for OpenCV's",
        lambda viewmats: _FLIP @ viewmats,
        "their camera looks along -z with y up, as OpenGL's and Blender's; OpenCV's axes are expected: negate rows 2 "
        "and 3 of R, and the last two numbers of T",
    ),
    _extrinsics(
        "camera-to-world in OpenGL's axes",
        lambda viewmats: _FLIP @ _invert(viewmats),
        "they look camera-to-world in OpenGL's axes, as in NeRF's transforms.json; negate columns 2 and 3 of R, then "
        "R' = R^T, T' = -R^T T",
    ),
    _extrinsics(
        "the camera's position for T",
        _from_position,
        "T looks like the camera's position C in the world; T' = -R C is expected",
    ),
    _extrinsics("R transposed", _transpose_rotation, "R looks transposed; set R' = R^T and leave T"),
)


def _move(sign: float, scene: Scene) -> Scene:
    moved = sign * scene.swing
    return replace(scene, vertices=scene.vertices + moved[:, None], transl=scene.transl + moved)


_ROOT = (
    Fault(
        "root",
        "EasyMocap's Rh and Th for global_orient and transl",
        partial(_move, 1.0),
        lambda places: (
            f"{places.orient}; {places.transl}: they look like EasyMocap's Rh and Th, which rotate about the origin; "
            "smplx rotates about the pelvis: set transl = Th + (R(Rh) - 1) J0, with J0 the pelvis at rest"
        ),
    ),
    Fault(
        "root",
        "global_orient and transl for EasyMocap's Rh and Th",
        partial(_move, -1.0),
        lambda places: (
            f"{places.orient}; {places.transl}: they look converted between EasyMocap and smplx once too often: "
            "set transl = transl - (R - 1) J0, with R of global_orient and J0 the pelvis at rest"
        ),
    ),
)


def _swap(scene: Scene) -> Scene:
    Ks = scene.Ks.copy()
    Ks[:, [0, 1], [0, 1]], Ks[:, :2, 2] = scene.Ks[:, [1, 0], [1, 0]], scene.Ks[:, 1::-1, 2]
    return replace(scene, Ks=Ks)


_SWAPPED = Fault(
    "intrinsics",
    "width and height exchanged in K",
    _swap,
    lambda places: f"{places.intrinsics}: x and y look exchanged; exchange fx with fy and cx with cy",
)


def _flipped_masks(axes: tuple[int, ...], scene: Scene) -> Scene:
    return replace(scene, masks=np.flip(scene.masks, axes))


def _images(name: str, mend: Callable[[Scene], Scene], words: str) -> Fault:
    return Fault("images", name, mend, lambda places: f"{places.images}: {words}")


_IMAGES = (
    _images("images mirrored left to right", partial(_flipped_masks, (3,)), "mirrored left to right; mirror them back"),
    _images("images upside down", partial(_flipped_masks, (2, 3)), "rotated by 180 degrees; rotate them back"),
    _images("images mirrored top to bottom", partial(_flipped_masks, (2,)), "mirrored top to bottom; mirror them back"),
    _images(
        "masks of the background",
        lambda scene: replace(scene, masks=~scene.masks & scene.usable[..., None, None]),
        "the masks are the background's; the person must be bright and the rest black: invert them",
    ),
)
