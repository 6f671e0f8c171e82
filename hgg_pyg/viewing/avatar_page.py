"""The page of an avatar: its Gaussians and skeleton, motions to play and joints to turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.avatar import Animator, Avatar, Motion
from hgg_pyg.types import BodyPose
from hgg_pyg.viewing.bones import Bones
from hgg_pyg.viewing.eyes import Eyes, whole
from hgg_pyg.viewing.joint_sliders import JointSliders
from hgg_pyg.viewing.palette import distinct_colors
from hgg_pyg.viewing.redraw import Redrawer
from hgg_pyg.viewing.splats import SplatLayer
from hgg_pyg.viewing.text import add_facts, complain
from hgg_pyg.viewing.timeline import Timeline

if TYPE_CHECKING:
    from viser import ViserServer

REST = "rest pose"
_SENT = 300_000  # Gaussians a second that a browser takes without falling behind
_OWN, _BY_JOINT = "its own", "by the joint that it follows most"


class AvatarPage:
    """Shows an avatar as the controls have it.

    Args:
        server: that shows nothing yet.
        avatar: on the CPU.
        motions: by name, for its skeleton.
        name: of the avatar, for people.
    """

    def __init__(self, server: ViserServer, avatar: Avatar, motions: Mapping[str, Motion], name: str) -> None:
        self.server, self.avatar, self._animate = server, avatar, Animator(avatar)
        self._motions = {REST: _rest(avatar), **motions}
        self._redrawer = Redrawer(self.draw, partial(complain, server), min(25.0, _SENT / len(avatar)))
        ask, gui = self._redrawer.ask, server.gui
        self.eyes = Eyes(server, ask)
        self._stand()
        self._splats = SplatLayer(server, "/avatar/gaussians")
        self._bones = Bones(server, "/avatar/skeleton", avatar.skeleton.parents)
        with gui.add_folder("Motion"):
            self.motion = gui.add_dropdown("motion", tuple(self._motions), initial_value=REST)
            self.timeline = Timeline(server, ask, 1, 30.0)
        with gui.add_folder("Layers"):
            self.gaussians = gui.add_checkbox("Gaussians", True)
            self.skeleton = gui.add_checkbox("skeleton", False)
            self.ground = gui.add_checkbox("ground", True)
            self.colors = gui.add_dropdown("colours", (_OWN, _BY_JOINT), initial_value=_OWN)
            self.sharpness = gui.add_slider("sharpness", 0.2, 3.0, 0.1, 1.0, hint="1: as sharp as its images were")
        with gui.add_folder("Joints", expand_by_default=False):
            self.joints = JointSliders(server, avatar.skeleton.names, ask)
        with gui.add_folder("About", expand_by_default=False):
            add_facts(gui, {"avatar": name, "Gaussians": f"{len(avatar):,}", **avatar.about})
        for control in (self.gaussians, self.skeleton, self.ground, self.colors, self.sharpness):
            control.on_update(lambda _: ask())

        @self.motion.on_update
        def _(_: object) -> None:
            chosen = self._motions[self.motion.value]
            self.timeline.set(len(chosen), chosen.fps)
            ask()

        ask()

    def start(self) -> None:
        """Draw from now on what the controls say."""
        self._redrawer.start()

    def close(self) -> None:
        """Draw no more."""
        self._redrawer.close()

    @property
    def pose(self) -> BodyPose:
        """What the controls say, now. T = 1"""
        return self.joints.bend(self._motions[self.motion.value], self.timeline.now())

    def draw(self) -> bool:
        """Draw what the controls say, now. -> whether time goes on"""
        pose, avatar = self.pose, self.avatar
        if self.gaussians.value:
            posed = self._animate(pose)[0]
            self.eyes.at = posed.means.mean(0).numpy()
            if self.colors.value == _BY_JOINT:
                posed = replace(posed, colors=_joint_colors(avatar))
            metres = avatar.seen.distance / avatar.seen.focal  # that a pixel of its images spans
            self._splats.show(posed, metres / self.sharpness.value, self.eyes.pixel)
        else:
            self._splats.hide()
        if self.skeleton.value:
            self._bones.show(_joints(avatar, pose))
        else:
            self._bones.hide()
        self._ground.visible = self.ground.value
        return self.timeline.running

    def _stand(self) -> None:
        rest = self._motions[REST]
        low, high = np.percentile((self.avatar.gaussians.means + rest.transl).numpy(), (0.5, 99.5), axis=0)
        up, towards = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.1, 1.0])
        self.eyes.stand((low + high) / 2, towards, up, whole(float(max(high - low))))
        self._ground = self.server.scene.add_grid("/ground", 4.0, 4.0, plane="xz", cell_size=0.25)


def _rest(avatar: Avatar) -> Motion:
    """The rest pose, standing on the ground y = 0 as motions do."""
    below = torch.tensor([[0.0, -float(avatar.gaussians.means[:, 1].min()), 0.0]])
    return Motion(REST, 30.0, torch.zeros(1, 3), torch.zeros(1, 3 * (len(avatar.skeleton) - 1)), below)


def _joints(avatar: Avatar, pose: BodyPose) -> np.ndarray:
    """Where the joints are in a pose. [J, 3]"""
    maps = avatar.skeleton.transforms(pose)[0]
    places = (maps[:, :3, :3] @ avatar.skeleton.joints[:, :, None])[..., 0] + maps[:, :3, 3]
    return (places + pose.transl[0]).numpy()


def _joint_colors(avatar: Avatar) -> Tensor:
    """A colour for each Gaussian by the joint that moves it most. [M, 3]"""
    leading = avatar.weights.argmax(1)[avatar.binding]
    return torch.from_numpy(distinct_colors(len(avatar.skeleton))).to(avatar.gaussians.colors)[leading]
