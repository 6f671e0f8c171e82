"""`python -m hgg_pyg.avatar CAPTURE --out person.avatar`: an avatar of somebody who was filmed, in one forward pass."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from hgg_pyg.avatar.file import SUFFIX
from hgg_pyg.avatar.motion import FASTEST, SLOWEST
from hgg_pyg.config import Bounds, Seconds, check_choices
from hgg_pyg.io.files import try_folder
from hgg_pyg.maker_choice import MakerOptions, open_maker
from hgg_pyg.refine import RefineConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class AvatarConfig(MakerOptions):
    """Of whom, and with which weights."""

    capture: Annotated[Path, tyro.conf.Positional]
    """folder of a subject, or of several of which --subject names one; see docs/captures.md"""
    out: Path | None = None
    """file to write; by default NAME.avatar in this folder, NAME being the subject's"""
    refine: Seconds | None = None
    """seconds for which the avatar, the poses of its frames and the shape are fitted to the input images after the
    forward pass; by default not at all"""
    fps: Annotated[float, Bounds(SLOWEST, FASTEST)] = 30.0
    """frames per second of the capture, at which its own motion is kept"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
        if self.out is not None and self.out.suffix != SUFFIX:
            raise ValueError(f"out: expected a name that ends in {SUFFIX}, found {self.out}")


def main(config: AvatarConfig) -> Path:
    """Make an animatable avatar of a capture, and write it into one file."""
    begin = time.perf_counter()
    maker, source = open_maker(config.capture, config)
    out = config.out or Path(f"{source.capture.name}{SUFFIX}")
    try_folder(out.parent, "--out")
    if out.is_dir():
        raise UserError(f"--out {out}: expected a file to write, found a folder")
    if config.refine is not None:
        maker = replace(maker, refine=RefineConfig(seconds=config.refine))
    made = maker.make(source, config.fps)
    made.avatar.save(out)
    capture = source.capture
    width, height = capture.size()
    print(
        f"{out}: {len(made.avatar):,} Gaussians of {capture.name}, {out.stat().st_size / 1e6:.1f} MB, from images of "
        f"{width}x{height} pixels, {len(source.cameras)} cameras, {min(maker.frames, len(capture.frames))} frames, in "
        f"{time.perf_counter() - begin:.0f} s\n"
        f"input images: {made.psnr:.2f} dB ({maker.name}{_after(config)}), direct binding {made.direct_psnr:.2f} dB\n"
        f"python -m hgg_pyg.export {out} --to html makes a page that shows it in any browser"
    )
    return out


def _after(config: AvatarConfig) -> str:
    return "" if config.refine is None else f", fitted to them for {config.refine:g} s"


if __name__ == "__main__":
    run_command(AvatarConfig, main)
