"""One synthetic subject as a capture on disk, in any layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel
from hgg_pyg.io.files import remove_leftovers, temporary_path
from hgg_pyg.synthetic.config import SynthesizeConfig
from hgg_pyg.synthetic.footage import Footage, draw_face_and_hands
from hgg_pyg.synthetic.layouts import WRITERS
from hgg_pyg.synthetic.layouts.base import save_jpeg
from hgg_pyg.synthetic.motion import Performance, draw_performance
from hgg_pyg.synthetic.person import Person, draw_person
from hgg_pyg.synthetic.rig import draw_rig
from hgg_pyg.synthetic.skeleton import rotvecs_from_euler

_HANDS = [22, 23]  # SMPL's joints that SMPL-X has not


def write_subject(config: SynthesizeConfig, index: int, body: BodyModel, written: Callable[[int], None]) -> None:
    """Draw one subject, film it and write its folder, under a temporary name until all is there.

    Args:
        config: what to synthesize.
        index: of the subject; with the seed it decides everything about it.
        body: whose shapes and weights the subject has.
        written: called with the number of images written since the last call.
    """
    writer = WRITERS[config.layout]
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, index]))
    person, performance = draw_person(rng, body, config.clothes), draw_performance(rng)
    tone = rng.uniform(0.4, 0.62) * np.array([0.96, 1.04, 0.98]) + rng.normal(0, 0.01, 3)
    rotvecs, transl = _film(person, performance, config.frames, still_hands=writer.smplx)
    poses = [person.skeleton.joint_transforms(*pose) for pose in zip(rotvecs, transl, strict=True)]
    seen = np.concatenate([person.figure.vertices(pose)[::3] for pose in poses])
    square = draw_rig(rng, config.views, config.size, seen)
    # What only some layouts need is drawn from a stream of its own, so that people and cameras are the same in all.
    own = np.random.default_rng(np.random.SeedSequence([config.seed, index, 1]))
    extras, views = draw_face_and_hands(own, config.frames), writer.equip(square, own)

    final = config.out / subject_path(config, index)
    folder = temporary_path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(final)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    cameras = writer.cameras(config.views)
    footage = Footage(final.name, cameras, tuple(views), body, person.betas, rotvecs, transl, extras)
    writer.write(folder, footage)
    (folder / "body.txt").write_text(f"{writer.body}\n", "utf-8")
    for camera in cameras:
        for path in (writer.image(final.name, camera, 0), writer.mask(final.name, camera, 0)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
    backgrounds = [_backdrop(tone, view.width, view.height, camera) for camera, view in enumerate(views)]
    for frame, pose in enumerate(poses):
        posed = person.figure.pose(pose)
        for name, view, background in zip(cameras, views, backgrounds, strict=True):
            rendered = posed.render(view, background)
            if writer.has_image(config.frames, name, frame):
                save_jpeg(folder / writer.image(final.name, name, frame), rendered.rgb)
            writer.save_mask(folder / writer.mask(final.name, name, frame), rendered)
        written(config.views)
    try:
        folder.rename(final)
    except OSError:
        shutil.rmtree(folder)
        if not final.is_dir():  # else a worker of a run that was killed was here first, with the same files
            raise


def subject_path(config: SynthesizeConfig, index: int) -> str:
    """A subject's folder below --out."""
    return WRITERS[config.layout].subject(index, test=index >= config.subjects - held_out(config.subjects))


def held_out(count: int) -> int:
    """How many of the subjects, the last ones, are for testing: a sixth, at least one."""
    return max(1, round(count / 6))


def _film(person: Person, performance: Performance, frames: int, still_hands: bool) -> tuple[np.ndarray, np.ndarray]:
    """Axis-angle of all joints [F, J, 3] and translation [F, 3] that stands the person on the ground at the origin."""
    angles, heading = performance.sample(frames)
    rotvecs = rotvecs_from_euler(angles)
    if still_hands:
        rotvecs[:, _HANDS] = 0
    rotated = Rotation.from_rotvec(np.radians(heading)[:, None] * [0, 1, 0]) * Rotation.from_rotvec(rotvecs[:, 0])
    rotvecs[:, 0] = rotated.as_rotvec()
    transl = np.tile(-person.skeleton.joints[0], (frames, 1))
    for frame in range(frames):
        transl[frame, 1] = 0
        standing = person.skeleton.joint_transforms(rotvecs[frame], transl[frame])
        transl[frame, 1] = -person.figure.vertices(standing)[:, 1].min()
    return rotvecs, transl


def _backdrop(tone: np.ndarray, width: int, height: int, camera: int) -> np.ndarray:
    """A studio wall, a little lighter on top and towards one side. [height, width, 3]"""
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    side = np.cos(2.4 * camera)
    return (tone * (1 - 0.07 * down + 0.05 * side * across)[..., None]).astype(np.float32)
