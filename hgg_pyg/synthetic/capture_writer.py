"""One synthetic subject as a capture on disk, in any layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar.motions import Clip
from hgg_pyg.body import BodyModel
from hgg_pyg.io.files import remove_leftovers, temporary_path
from hgg_pyg.synthetic.config import SynthesizeConfig
from hgg_pyg.synthetic.footage import Footage, draw_face_and_hands
from hgg_pyg.synthetic.given_motion import perform
from hgg_pyg.synthetic.layouts import WRITERS
from hgg_pyg.synthetic.motion import Performance, draw_performance
from hgg_pyg.synthetic.person import Person, draw_person
from hgg_pyg.synthetic.rig import draw_rig
from hgg_pyg.synthetic.skeleton import rotvecs_from_euler

_HANDS = [22, 23]  # SMPL's joints that SMPL-X has not


def write_subject(
    config: SynthesizeConfig,
    index: int,
    body: BodyModel,
    written: Callable[[int], None],
    clips: Sequence[Clip] = (),
) -> None:
    """Draw one subject, film it and write its folder, under a temporary name until all is there.

    Args:
        config: what to synthesize.
        index: of the subject; with the seed it decides everything about it.
        body: whose shapes and weights the subject has.
        written: called with the number of images written since the last call.
        clips: the motions of the configuration; subject i performs number i modulo how many there are.
    """
    writer = WRITERS[config.layout]
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, index]))
    person, performance = draw_person(rng, body, config.clothes), draw_performance(rng, config.turn)
    tone = rng.uniform(0.4, 0.62) * np.array([0.96, 1.04, 0.98]) + rng.normal(0, 0.01, 3)
    if clips:  # draws from a stream of their own, so that people are the same whatever they do
        moments = np.random.default_rng(np.random.SeedSequence([config.seed, index, 2]))
        rotvecs, heights = perform(clips[index % len(clips)], person.skeleton, config.frames, moments)
    else:
        rotvecs, heights = _act(performance, config.frames), None
    if writer.smplx:
        rotvecs[:, _HANDS] = 0
    transl = _stand(person, rotvecs, heights)
    poses = [person.skeleton.joint_transforms(*pose) for pose in zip(rotvecs, transl, strict=True)]
    seen = np.concatenate([person.figure.vertices(pose)[::3] for pose in poses])
    square = draw_rig(rng, view_count(config), config.size, seen)
    # What only some layouts need is drawn from a stream of its own, so that people and cameras are the same in all.
    own = np.random.default_rng(np.random.SeedSequence([config.seed, index, 1]))
    extras, views = draw_face_and_hands(own, config.frames), writer.equip(square, own)

    final = config.out / subject_path(config, index)
    folder = temporary_path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(final)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    cameras = writer.cameras(len(views))
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
            rendered = posed.render(writer.moved(view, frame, config.frames), background)
            if writer.has_image(config.frames, name, frame):
                writer.save_image(folder / writer.image(final.name, name, frame), rendered)
            writer.save_mask(folder / writer.mask(final.name, name, frame), rendered)
        written(len(views))
    writer.finish(folder, footage)
    try:
        folder.rename(final)
    except OSError:
        shutil.rmtree(folder)
        if not final.is_dir():  # else a worker of a run that was killed was here first, with the same files
            raise


def subject_path(config: SynthesizeConfig, index: int) -> str:
    """A subject's folder below --out."""
    return WRITERS[config.layout].subject(index, test=index >= config.subjects - held_out(config.subjects))


def view_count(config: SynthesizeConfig) -> int:
    """Cameras around each person: --views, or the one of a monocular layout."""
    return 1 if WRITERS[config.layout].monocular else config.views


def held_out(count: int) -> int:
    """How many of the subjects, the last ones, are for testing: a sixth, at least one."""
    return max(1, round(count / 6))


def _act(performance: Performance, frames: int) -> np.ndarray:
    """Axis-angle of all joints. [F, J, 3]"""
    angles, heading = performance.sample(frames)
    rotvecs = rotvecs_from_euler(angles)
    rotated = Rotation.from_rotvec(np.radians(heading)[:, None] * [0, 1, 0]) * Rotation.from_rotvec(rotvecs[:, 0])
    rotvecs[:, 0] = rotated.as_rotvec()
    return rotvecs


def _stand(person: Person, rotvecs: np.ndarray, heights: np.ndarray | None) -> np.ndarray:
    """The translation that keeps a person above the origin, on the ground: in every frame, or where heights are lowest.

    Args:
        person: who moves.
        rotvecs: [F, J, 3] axis-angle.
        heights: [F] metres, how far up the person is shifted, but for one number for all frames; None: not known.

    Returns:
        [F, 3] metres
    """
    transl = np.tile(-person.skeleton.joints[0], (len(rotvecs), 1))
    transl[:, 1] = 0 if heights is None else heights
    lowest = np.array(
        [
            person.figure.vertices(person.skeleton.joint_transforms(*pose))[:, 1].min()
            for pose in zip(rotvecs, transl, strict=True)
        ]
    )
    transl[:, 1] -= lowest if heights is None else lowest.min()
    return transl


def _backdrop(tone: np.ndarray, width: int, height: int, camera: int) -> np.ndarray:
    """A studio wall, a little lighter on top and towards one side. [height, width, 3]"""
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    side = np.cos(2.4 * camera)
    return (tone * (1 - 0.07 * down + 0.05 * side * across)[..., None]).astype(np.float32)
