"""`python -m hgg_pyg.export person.avatar --to FORMAT`: an avatar for other people's programs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from hgg_pyg.avatar import Avatar, Motion
from hgg_pyg.avatar.exporters import Exporter, MovingExporter, exporters, find_exporter
from hgg_pyg.avatar.exporters.frames import frame_of, half_turn, write_frames
from hgg_pyg.avatar.motion import FASTEST, SLOWEST
from hgg_pyg.avatar.motions import OWN_MOTIONS, load_motion
from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.io.files import beside, try_folder
from hgg_pyg.runtime import run_command
from hgg_pyg.types import Gaussians, UserError


@dataclass(frozen=True)
class ExportConfig:
    """What to write, and how."""

    avatar: Annotated[Path, tyro.conf.Positional]
    """file of an avatar, person.avatar"""
    to: str
    """ply, splat, spz or usd: Gaussians in one pose; glb or html: the avatar with motions; or module:NAME of yours"""
    out: Path | None = None
    """file to write, or folder of numbered ones; by default beside the avatar, named after it"""
    motion: tuple[str, ...] = ()
    """names of its own motions or of ours (walk, wave, dance, turntable), or files; all of those with names by default
    in glb and html. In other formats one is a file per frame, or one --frame of it, and none is the rest pose"""
    frame: Annotated[int, Bounds(0, 10**6)] | None = None
    """the one frame of the motion to write, from 0"""
    fps: Annotated[float, Bounds(SLOWEST, FASTEST)] | None = None
    """frames per second of the motions, by default their own; poses are interpolated"""
    y_down: bool = False
    """half a turn about x, for viewers of ply and splat that take y for down and would show people on their heads"""
    precise: bool = False
    """glb and html: float32 and all weights instead of a small file"""

    def __post_init__(self) -> None:
        check_choices(self)


def main(config: ExportConfig) -> None:
    """Write an avatar in a format of other programs, in a pose or with motions."""
    exporter = find_exporter(config.to)
    _check_options(config, exporter)
    avatar = Avatar.load(config.avatar)
    if isinstance(exporter, MovingExporter):
        out = _file(config, exporter)
        motions = [_closed(motion, avatar) for motion in _motions(config, avatar)]
        exporter.write(out, avatar, motions, config.precise)
        written = f"{out}: {len(avatar):,} Gaussians, {out.stat().st_size / 1000:,.0f} kB"
    elif not config.motion or config.frame is not None:
        out = _file(config, exporter)
        exporter.write(out, _still(config, avatar), avatar.about)
        written = f"{out}: {len(avatar):,} Gaussians, {out.stat().st_size / 1000:,.0f} kB"
    else:
        (motion,) = _motions(config, avatar)
        out = _folder(config, motion)
        write_frames(out, exporter, avatar, motion, config.y_down)
        written = f"{out} holds {len(motion)} files of {len(avatar):,} Gaussians"
    print(written)
    if licence := avatar.about.get("licence"):
        print(f"licence: {licence}")


def _check_options(config: ExportConfig, exporter: Exporter) -> None:
    """Refuse options that this format has no use for.

    Raises:
        UserError: there are some.
    """
    if isinstance(exporter, MovingExporter):
        for name, value in (("frame", config.frame), ("y-down", config.y_down or None)):
            if value is not None:
                raise UserError(f"--{name}: {config.to} holds whole motions with y up, and does not take it")
        return
    if config.precise:
        raise UserError(f"--precise: {config.to} is written in one way, and does not take it")
    if len(config.motion) > 1:
        raise UserError(f"--motion: expected one for {config.to}, found {len(config.motion)}")
    if config.frame is not None and not config.motion:
        raise UserError("--frame: expected the --motion that it is of, found none")
    if config.fps is not None and not config.motion:
        raise UserError("--fps: expected the --motion that it is of, found none")
    if config.motion and config.frame is None and not exporter.sequences:
        moving = [name for name, known in exporters().items() if isinstance(known, MovingExporter)]
        raise UserError(
            f"--to {config.to}: this format is static: expected --frame with --motion, found none; "
            f"formats that move: {', '.join(moving)}"
        )


def _file(config: ExportConfig, exporter: Exporter) -> Path:
    """Where the one file goes.

    Raises:
        UserError: a folder is there, it has the ending of something else, or it cannot be written; or there is no
            --out, and no name can be made of the avatar's.
    """
    out = config.out or beside(config.avatar, f"{config.avatar.stem}{exporter.suffix}")
    if out.is_dir():
        raise UserError(f"--out {out}: expected a file, found a folder")
    if out.suffix.lower() != exporter.suffix:
        raise UserError(f"--out {out}: expected a name that ends in {exporter.suffix}, found {out.suffix or 'none'}")
    try_folder(out.parent, "--out")
    if out.exists() and out.samefile(config.avatar):
        raise UserError(f"--out {out}: expected another file than the avatar's, found the same")
    return out


def _folder(config: ExportConfig, motion: Motion) -> Path:
    """Where the numbered files go.

    Raises:
        UserError: a file is there, or it cannot be written; or there is no --out, and no name can be made of the
            avatar's and the motion's.
    """
    out = config.out or beside(config.avatar, f"{config.avatar.stem}_{motion.name}")
    if out.is_file():
        raise UserError(f"--out {out}: expected a folder, found a file")
    try_folder(out, "--out")
    return out


def _motions(config: ExportConfig, avatar: Avatar) -> list[Motion]:
    """Those that are asked for; by default all that come with the avatar and all of ours that its skeleton can do."""
    found = {name: _motion(name, avatar, config.fps) for name in config.motion or (m.name for m in avatar.motions)}
    if not config.motion:
        with suppress(UserError):  # a skeleton that is nobody's we know
            found |= {name: _motion(name, avatar, config.fps) for name in OWN_MOTIONS if name not in found}
    return [*found.values()]


def _closed(motion: Motion, avatar: Avatar) -> Motion:
    """One of ours with its first frame at the end again, so that whoever repeats it does not jump."""
    if motion.name not in OWN_MOTIONS or avatar.motion(motion.name):
        return motion
    frames = [*range(len(motion)), 0]
    parts = {name: getattr(motion, name)[frames] for name in ("global_orient", "body_pose", "transl")}
    return replace(motion, **parts)


def _motion(name: str, avatar: Avatar, fps: float | None) -> Motion:
    own = avatar.motion(name)
    if own is None:
        return load_motion(name, avatar.skeleton, fps)
    return own if fps is None else own.at(fps)


def _still(config: ExportConfig, avatar: Avatar) -> Gaussians:
    """The avatar in the pose that is asked for. [M]"""
    if config.frame is None:
        gaussians = avatar.gaussians
    else:
        (motion,) = _motions(config, avatar)
        gaussians = frame_of(avatar, motion, config.frame)
    return half_turn(gaussians) if config.y_down else gaussians


if __name__ == "__main__":
    run_command(ExportConfig, main)
