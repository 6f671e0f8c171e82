"""A slider for each axis of each joint, by limb, and what they add to a pose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar import Motion
from hgg_pyg.types import BodyPose

if TYPE_CHECKING:
    from viser import GuiSliderHandle, ViserServer

_LIMBS = {
    "hand": ("thumb", "index", "middle", "ring", "pinky", "hand"),
    "arm": ("collar", "shoulder", "elbow", "wrist"),
    "leg": ("hip", "knee", "ankle", "foot"),
}
_TRUNK = "trunk and head"
_FARTHEST = 180.0  # degrees


def limb_of(joint: str) -> str:
    """The folder that a joint's sliders are in, by its name: left_elbow is in "left arm"."""
    side = next((side for side in ("left", "right") if joint.startswith(side)), None)
    limb = next((limb for limb, words in _LIMBS.items() if any(word in joint for word in words)), None)
    return f"{side} {limb}" if side and limb else _TRUNK


class JointSliders:
    """Three sliders a joint in degrees about its axes at rest, x to the person's left, y up, z to the front.

    Args:
        server: of the page; the folders of limbs come into the folder that is open.
        names: J, of the joints.
        changed: called when one has moved.
    """

    def __init__(self, server: ViserServer, names: Sequence[str], changed: Callable[[], None]) -> None:
        self.sliders: dict[str, tuple[GuiSliderHandle[float], ...]] = {}
        """by joint: x, y and z, degrees"""
        self._names = tuple(names)
        self._changed, self._quiet = changed, False
        server.gui.add_button("reset joints").on_click(lambda _: self.reset())
        for limb in dict.fromkeys(map(limb_of, names)):
            with server.gui.add_folder(limb, expand_by_default=False):
                for name in (name for name in names if limb_of(name) == limb):
                    self.sliders[name] = tuple(
                        server.gui.add_slider(f"{name} {axis}", -_FARTHEST, _FARTHEST, 1.0, 0.0) for axis in "xyz"
                    )
        for slider in self._all():
            slider.on_update(lambda _: None if self._quiet else changed())

    def reset(self) -> None:
        """All of them to zero."""
        self._quiet = True
        for slider in self._all():
            slider.value = 0.0
        self._quiet = False
        self._changed()

    def bend(self, motion: Motion, frame: int) -> BodyPose:
        """A frame of a motion with each joint turned further, before its parent turns it. T = 1, no shape"""
        pose = motion.pose(torch.zeros(0))[[frame]]
        degrees = np.array([[slider.value for slider in self.sliders[name]] for name in self._names])
        angles = torch.cat([pose.global_orient, pose.body_pose], 1)
        if degrees.any():
            turned = Rotation.from_rotvec(angles.reshape(-1, 3).double().numpy()) * Rotation.from_euler(
                "xyz", degrees, degrees=True
            )
            angles = torch.from_numpy(turned.as_rotvec()).to(angles).reshape(1, -1)
        return BodyPose(pose.betas, angles[:, :3], angles[:, 3:], pose.transl)

    def _all(self) -> Iterator[GuiSliderHandle[float]]:
        for sliders in self.sliders.values():
            yield from sliders
