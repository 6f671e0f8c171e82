"""`python -m hgg_pyg.export person.avatar --to FORMAT`: an avatar for other people's programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hgg_pyg.avatar import Avatar, Motion
from hgg_pyg.avatar.exporters import Exporter, MovingExporter, exporters, find_exporter
from hgg_pyg.avatar.exporters.frames import frame_of, half_turn, write_frames
from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.io.files import try_folder
from hgg_pyg.io.limits import size_text
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
    """motions by name, or files of them; glb and html have all by default. Of ply, splat and spz one becomes a file
    per frame, unless --frame is given; without a motion they are in the rest pose"""
    frame: Annotated[int, Bounds(0, 10**6)] | None = None
    """the one frame of the motion to write, from 0"""
    fps: Annotated[float, Bounds(0, 1000, above=True)] | None = None
    """numbered files per second of the motion; by default one for each of its frames"""
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
        exporter.write(out, avatar, _motions(config, avatar), config.precise)
        written = f"{out}: {len(avatar):,} Gaussians, {size_text(out.stat().st_size)}"
    elif not config.motion or config.frame is not None:
        out = _file(config, exporter)
        exporter.write(out, _still(config, avatar), avatar.about)
        written = f"{out}: {len(avatar):,} Gaussians, {size_text(out.stat().st_size)}"
    else:
        (motion,) = _motions(config, avatar)
        out = _folder(config, motion)
        count = write_frames(out, exporter, avatar, motion, config.fps, config.y_down)
        written = f"{out} holds {count} files of {len(avatar):,} Gaussians"
    print(written)
    for name, text in avatar.about.items():
        print(f"  {name}: {text}")


def _check_options(config: ExportConfig, exporter: Exporter) -> None:
    """Refuse options that this format has no use for.

    Raises:
        UserError: there are some.
    """
    if isinstance(exporter, MovingExporter):
        for name, value in (("frame", config.frame), ("fps", config.fps), ("y-down", config.y_down or None)):
            if value is not None:
                raise UserError(f"--{name}: {config.to} holds whole motions with y up, and does not take it")
        return
    if config.precise:
        raise UserError(f"--precise: {config.to} is written in one way, and does not take it")
    if len(config.motion) > 1:
        raise UserError(f"--motion: expected one for {config.to}, found {len(config.motion)}")
    if config.frame is not None and not config.motion:
        raise UserError("--frame: expected the --motion that it is of, found none")
    if config.fps is not None and (config.frame is not None or not config.motion):
        raise UserError("--fps: expected a --motion to be written in numbered files, found one pose")
    if config.motion and config.frame is None and not exporter.sequences:
        moving = [name for name, known in exporters().items() if isinstance(known, MovingExporter)]
        raise UserError(
            f"--to {config.to}: this format is static: expected --frame with --motion, found none; "
            f"{' and '.join(moving)} move"
        )


def _file(config: ExportConfig, exporter: Exporter) -> Path:
    """Where the one file goes.

    Raises:
        UserError: a folder is there, it has the ending of something else, or it cannot be written.
    """
    out = config.out or config.avatar.with_suffix(exporter.suffix)
    if out.is_dir():
        raise UserError(f"--out {out}: expected a file, found a folder")
    if out.suffix.lower() != exporter.suffix:
        raise UserError(f"--out {out}: expected a name that ends in {exporter.suffix}, found {out.suffix or 'none'}")
    try_folder(out.parent, "--out")
    return out


def _folder(config: ExportConfig, motion: Motion) -> Path:
    """Where the numbered files go.

    Raises:
        UserError: a file is there, or it cannot be written.
    """
    out = config.out or config.avatar.with_name(f"{config.avatar.stem}_{motion.name}")
    if out.is_file():
        raise UserError(f"--out {out}: expected a folder, found a file")
    try_folder(out, "--out")
    return out


def _motions(config: ExportConfig, avatar: Avatar) -> list[Motion]:
    """Those that are asked for, by default all that come with the avatar."""
    return [_motion(name, avatar) for name in config.motion] or [*avatar.motions]


def _motion(name: str, avatar: Avatar) -> Motion:
    found = avatar.motion(name)
    if found is None:
        known = ", ".join(motion.name for motion in avatar.motions) or "none"
        raise UserError(f"--motion: expected a motion of {known}, found {name!r}")
    return found


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
