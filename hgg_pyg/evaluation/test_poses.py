"""How the poses of test frames are known: truly, as estimated, or as estimated and mended by images of the frame."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.config import Degrees, Seed, Steps, check_choices
from hgg_pyg.data.clips import Target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.people import read_masks, shows_anyone
from hgg_pyg.data.pose_noise import PoseNoise
from hgg_pyg.evaluation.reporting.report import AS_ESTIMATED, MENDED, TASK_TEXT, TASKS
from hgg_pyg.refine import RefineConfig, mend_poses
from hgg_pyg.types import BodyPose


@dataclass(frozen=True)
class TestPoses:
    """What is done to the poses of test subjects, and which tasks come of it.

    Raises:
        ValueError: a number is out of its bounds.
    """

    __test__ = False  # of pytest's

    pose_noise: Degrees = 0.0
    """white noise on every axis of every joint of all frames, degrees, and a person misplaced by 1/300 m for each"""
    mend_test_poses: bool = False
    """mend the estimated poses of test frames by their input images, too"""
    mend_steps: Steps = 15
    """how often that fit sees each of a frame's images"""
    seed: Seed = 0
    """of the noise, and of the fit"""

    def __post_init__(self) -> None:
        check_choices(self)

    @property
    def noisy(self) -> bool:
        """Whether the capture's poses are the truth, and others are used in their place."""
        return self.pose_noise > 0

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is scored."""
        estimated = (AS_ESTIMATED,) if self.noisy else ()
        return (*TASKS, *estimated, *((MENDED,) if self.noisy or self.mend_test_poses else ()))

    @property
    def texts(self) -> dict[str, str]:
        """What the tasks are, for whoever reads the numbers."""
        view, pose = (TASK_TEXT[task] for task in TASKS)
        if self.noisy:
            view += "; in the poses as estimated, with the noise, or as a method corrects those of its input frames"
            pose += "; in their true poses, which a method never has of a real capture"
        elif self.mend_test_poses:
            pose += "; in the poses of the capture's files, which are estimates unless it is synthetic"
        return {task: {TASKS[0]: view, TASKS[1]: pose}.get(task, TASK_TEXT[task]) for task in self.tasks}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done."""
        if not self.noisy:
            return ()
        return (
            f"poses: white noise of {self.pose_noise:g} degrees on every axis of every joint and of "
            f"{self.pose_noise / 3:.2g} cm on the place, on all frames of every subject, seed {self.seed}; squares "
            "around the person are those of the true poses",
        )

    def estimated(self, source: FrameSource) -> FrameSource:
        """A subject with its poses as they are estimated: with the noise, the same for the same name and seed."""
        if not self.noisy:
            return source
        rng = np.random.default_rng([self.seed, zlib.crc32(source.capture.name.encode(errors="surrogateescape"))])
        poses = PoseNoise(white=self.pose_noise)(source.capture.poses, rng)
        return replace(source, capture=source.capture.with_poses(poses), stored=None)


@dataclass(frozen=True, eq=False)
class SubjectPoses:
    """The poses of one subject's frames as each task has them."""

    options: TestPoses
    true: FrameSource
    estimated: FrameSource
    _mended: dict[tuple[str, int, int], BodyPose] = field(default_factory=dict)
    _given: dict[tuple[bool, int], BodyPose] = field(default_factory=dict)
    _own: dict[tuple[str, int], BodyPose] = field(default_factory=dict)

    @staticmethod
    def of(options: TestPoses, source: FrameSource) -> SubjectPoses:
        """Of a subject whose capture has the true poses, or without noise the only ones there are."""
        return SubjectPoses(options, source, options.estimated(source))

    def keep(self, method: str, frames: Sequence[int], poses: BodyPose) -> None:
        """Poses of its input frames as a method has them, corrected or as given: its novel views are drawn in them."""
        self._own.update({(method, frame): poses[[row]] for row, frame in enumerate(frames)})

    def mend(self, method: str, avatar: BoundAvatar, targets: Sequence[Target]) -> int:
        """Mend poses of the frames of some targets by a method's avatar, for each image that is to be scored.

        The scored image is never seen: for an image of an input camera the fit looks through the others only.

        Returns:
            how many images keep the estimated pose, since no other input image shows the person.
        """
        inputs, left = self.estimated.cameras, 0
        wanted = sorted({(camera if camera in inputs else -1) for target in targets for camera in target.cameras})
        for scored in wanted:
            cameras = tuple(camera for camera in inputs if camera != scored)
            frames = [t.frame for t in targets if any((c if c in inputs else -1) == scored for c in t.cameras)]
            seen = [frame for frame in frames if cameras and self._shows(frame, cameras)]
            left += len(frames) - len(seen)
            if not seen:
                continue
            images = RefineConfig().images
            steps = math.ceil(self.options.mend_steps * len(seen) * len(cameras) / images)
            config = RefineConfig(seconds=None, steps=steps, gaussians=False, shape=False, seed=self.options.seed)
            poses = mend_poses(avatar, self.estimated, seen, config, cameras)
            self._mended.update({(method, frame, scored): poses[[row]] for row, frame in enumerate(seen)})
        return left

    def of_image(self, task: str, method: str, frame: int, camera: int) -> BodyPose:
        """The pose that a method's avatar is drawn in for one image: one frame, the same object for the same pose."""
        if task == TASKS[0] and (method, frame) in self._own:
            return self._own[method, frame]
        true = task == TASKS[1]
        source = self.true if true else self.estimated
        pose = self._given.setdefault((true, frame), source.capture.poses[[frame]])
        if task != MENDED:
            return pose
        return self._mended.get((method, frame, camera if camera in self.estimated.cameras else -1), pose)

    def _shows(self, frame: int, cameras: Sequence[int]) -> bool:
        return shows_anyone(read_masks(self.estimated.capture, frame, cameras))
