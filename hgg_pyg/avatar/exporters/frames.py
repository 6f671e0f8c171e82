"""A motion in a format that cannot move: one numbered file per frame."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import torch
from tqdm import tqdm

from hgg_pyg.avatar.animator import Animator
from hgg_pyg.avatar.avatar import Avatar
from hgg_pyg.avatar.exporters.registry import StillExporter
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.body.skinning import quaternion_multiply
from hgg_pyg.io.files import remove_leftovers, temporary_path, writing
from hgg_pyg.types import Gaussians, UserError


def frame_of(avatar: Avatar, motion: Motion, frame: int) -> Gaussians:
    """The avatar in one frame of a motion. [M]

    Raises:
        UserError: the motion has no such frame.
    """
    if not 0 <= frame < len(motion):
        raise UserError(f"--frame: expected 0 to {len(motion) - 1}, the frames of {motion.name}; found {frame}")
    return avatar.repose(motion.pose(avatar.betas)[[frame]])[0]


def write_frames(folder: Path, exporter: StillExporter, avatar: Avatar, motion: Motion, y_down: bool = False) -> None:
    """Write a motion frame by frame: 00000.ply, 00001.ply and so on; shows its progress.

    They come to the folder when all are written: stopped meanwhile, nothing of them stays and nothing is replaced.

    Args:
        folder: made if it is not there. Files of these names are replaced.
        exporter: writes each.
        avatar: in each frame.
        motion: for its skeleton.
        y_down: turned by `half_turn`.

    Raises:
        UserError: the folder holds other things, or files that would seem to go on with this motion, or cannot be
            written.
    """
    for path in sorted(folder.glob("[!.]*")):  # what begins with a dot is half of a file whose writer was killed
        if path.suffix != exporter.suffix or not path.stem.isdecimal():
            raise UserError(
                f"--out {folder}: expected an empty folder or one of numbered {exporter.suffix} files, "
                f"found {path.name} in it"
            )
    longer = sorted(path.name for path in folder.glob(f"*{exporter.suffix}") if path.stem.isdecimal())
    if longer and int(Path(longer[-1]).stem) >= len(motion):
        raise UserError(f"--out {folder}: expected room for {len(motion)} files, found {longer[-1]} of a longer motion")
    animate, pose = Animator(avatar), motion.pose(avatar.betas)
    names = [f"{frame:05d}{exporter.suffix}" for frame in range(len(motion))]
    partial = temporary_path(folder / "frames")
    with writing(folder):
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(partial)
        try:
            partial.mkdir()
            for frame, name in enumerate(tqdm(names, motion.name, unit="file", leave=False, disable=len(names) < 2)):
                gaussians = animate(pose[[frame]])[0]
                exporter.write(partial / name, half_turn(gaussians) if y_down else gaussians, avatar.about)
            for name in names:
                (partial / name).replace(folder / name)
        except UserError as error:  # of a full disk, under a name that nobody knows
            raise UserError(str(error).replace(str(partial), str(folder))) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if new:
                with suppress(OSError):  # there is something in it
                    folder.rmdir()


def half_turn(gaussians: Gaussians) -> Gaussians:
    """Turned about x by half a circle: y and z point the other way, as in files that come from photographs. [M]"""
    turn = torch.tensor([0.0, 1, 0, 0], device=gaussians.means.device)
    sides = torch.tensor([1.0, -1, -1], device=gaussians.means.device)
    quats = quaternion_multiply(turn.expand_as(gaussians.quats), gaussians.quats)
    return Gaussians(gaussians.means * sides, quats, gaussians.scales, gaussians.opacities, gaussians.colors)
