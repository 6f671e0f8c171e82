"""`python -m hgg_pyg.animate person.avatar --motion FILE --out film.mp4`: a film of an avatar."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from accelerate import PartialState
from tqdm import tqdm

from hgg_pyg.avatar import Avatar, Motion
from hgg_pyg.avatar.camera import Shot, film_cameras
from hgg_pyg.avatar.film import avatar_pictures, find_film_format, read_background, save_film, side_by_side
from hgg_pyg.avatar.film.format import check_film, check_place
from hgg_pyg.avatar.motion import SLOWEST
from hgg_pyg.avatar.motions import OWN_MOTIONS, load_motion
from hgg_pyg.config import Bounds, check_choices
from hgg_pyg.data.capture_set import load_body_for
from hgg_pyg.data.filmed import Filmed, film_of
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.io.files import beside, try_folder
from hgg_pyg.maker_choice import choose_subject
from hgg_pyg.making import CAPTURED
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError

TRUTH = "truth"
_SIZE = 720, 720
_LONGEST = 1080  # pixels that a capture's images are shrunk to unless a size is asked for
_ROUNDS = 6.0  # seconds that our own motions last at least
_USUAL_FPS = 30.0  # of captures that an avatar does not know
_MOST_SECONDS = 36_000.0
_MOST_PICTURES = 100_000  # an hour at thirty a second; poses and cameras of all of them are in memory

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class AnimateConfig(Shot):
    """Who moves how, and from where that is seen."""

    avatar: Annotated[Path, tyro.conf.Positional]
    """file of an avatar, person.avatar"""
    motion: str | None = None
    """name of one of its own motions or of ours (walk, wave, dance, turntable), or a file; by default what was
    captured where --capture is given, else walk"""
    out: Path | None = None
    """file.mp4 (needs the extra film), file.gif, or a folder for PNGs; by default PERSON_MOTION.mp4"""
    format: str | None = None
    """by default the one of --out's ending; module:NAME of yours"""
    camera: Literal["still", "orbit", "capture"] | None = None
    """still, going round, or where a camera of --capture stood; by default that where there is one, else still"""
    size: tuple[Annotated[int, Bounds(8, 8192)], Annotated[int, Bounds(8, 8192)]] | None = None
    """width and height of each picture, pixels; by default 720 720, or those of the capture's images up to 1080"""
    fps: Annotated[float, Bounds(SLOWEST, 240)] = 30.0
    """frames per second; poses are interpolated"""
    seconds: Annotated[float, Bounds(0, _MOST_SECONDS, above=True)] | None = None
    """how long the film is at most; ours go round and round, other motions end by themselves"""
    background: str = "white"
    """a colour such as white or #202830; or transparent, for PNGs"""
    sharpness: Annotated[float, Bounds(0.1, 100)] = 1.0
    """1 closes all gaps when zoomed in; more shows finer detail and, in the end, gaps"""
    beside: tuple[str, ...] = ()
    """what to show next to it: files of other avatars, such as one of direct binding; truth for the capture's images"""
    capture: Path | None = None
    """folder of a subject, or of several, for its camera, its images, and what the person did"""
    subject: str | None = None
    """name of the subject's folder, where there are several"""
    view: str | None = None
    """name of the capture's camera; by default the one most in front of the person"""
    body: Path | None = None
    """body model that the capture's poses are for; by default $HGG_BODY_MODELS, else the open body"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.capture is None:
            for name, given in (("subject", self.subject), ("view", self.view), ("body", self.body)):
                if given is not None:
                    raise ValueError(f"{name}: expected --capture with it, found none")
            if self.camera == "capture":
                raise ValueError("camera: expected --capture with it, found none")
            if TRUTH in self.beside:
                raise ValueError(f"beside: {TRUTH}: expected --capture with it, found none")
        unused = [
            field.name for field in fields(Shot) if self.by_capture or (field.name == "turns" and not self.orbits)
        ]
        for name in unused:
            if getattr(self, name) != getattr(Shot, name):
                camera = "orbit" if name == "turns" else "still or orbit"
                raise ValueError(f"{name}: expected --camera {camera} with it, found another")
        if TRUTH in self.beside and (not self.by_capture or self.motion_name != CAPTURED):
            raise ValueError(f"beside: {TRUTH}: expected --camera capture and --motion {CAPTURED}, found others")

    @property
    def orbits(self) -> bool:
        """Whether the camera goes round."""
        return self.camera == "orbit"

    @property
    def by_capture(self) -> bool:
        """Whether it is seen through a camera of the capture."""
        return self.capture is not None and self.camera in (None, "capture")

    @property
    def motion_name(self) -> str:
        """What is done, by name or file."""
        return self.motion or ("walk" if self.capture is None else CAPTURED)


def main(config: AnimateConfig) -> Path:
    """Make a film of an avatar in motion."""
    background, name = read_background(config.background), config.motion_name
    out = config.out or beside(config.avatar, f"{config.avatar.stem}_{Path(name.replace(':', '_')).stem}.mp4")
    film_format = find_film_format(out, config.format)
    check_place(film_format, out)
    try_folder(out.parent, "--out")
    avatars = [Avatar.load(Path(path)) for path in (config.avatar, *config.beside) if path != TRUTH]
    filmed = None if config.capture is None else _filmed(config, config.capture, avatars[0])
    motions = _motions(config, avatars, filmed)
    count = len(motions[0])
    if filmed is not None and config.by_capture:
        cameras = filmed.cameras(count)
    else:
        cameras = film_cameras(avatars[0], motions[0], config, config.size or _SIZE, config.orbits)
    panels = 1 + len(config.beside)
    check_film(film_format, (cameras.width * panels, cameras.height), count, config.fps, background is None)

    device = PartialState().device or torch.device("cpu")
    each = zip(avatars, motions, strict=True)
    rows = [avatar_pictures(who, what, cameras, background, config.sharpness, device) for who, what in each]
    if filmed is not None:
        for place, path in enumerate(config.beside, 1):
            if path == TRUTH:
                rows.insert(place, filmed.pictures(config.fps, count, background))
    with tqdm(side_by_side(rows), out.name, count, unit="frame", leave=False) as pictures:
        save_film(film_format, out, pictures, config.fps)
    files = [out] if out.is_file() else list(out.iterdir())
    print(
        f"{out}: {count:,} pictures of {cameras.width * panels}x{cameras.height} pixels, {count / config.fps:.1f} s, "
        f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
    )
    if config.beside:
        print(f"from left to right: {', '.join([str(config.avatar), *config.beside])}")
    return out


def _filmed(config: AnimateConfig, folder: Path, avatar: Avatar) -> Filmed:
    """What the capture has to offer."""
    subject = choose_subject(folder, config.subject)
    body = load_body_for(subject.folder, config.body)
    longest = max(config.size) if config.size else _LONGEST
    capture = make_capture(subject.folder, subject.layout, body, longest, False)
    own = avatar.motion(CAPTURED)
    return film_of(capture, config.view, avatar.skeleton, _USUAL_FPS if own is None else own.fps, config.size)


def _motions(config: AnimateConfig, avatars: Sequence[Avatar], filmed: Filmed | None) -> list[Motion]:
    """What each avatar does in the T frames of the film. What one was captured doing, the others do as well."""
    name, first = config.motion_name, avatars[0]
    captured = filmed.motion if filmed is not None and name == CAPTURED else first.motion(name)
    if captured is not None:
        motions = [captured.at(config.fps)] * len(avatars)
    else:
        motions = [load_motion(name, avatar.skeleton, config.fps) for avatar in avatars]
    frames, count = len(motions[0]), len(motions[0])
    if captured is None and name in OWN_MOTIONS:  # whose last frame leads to their first
        count *= max(1, round(_ROUNDS * config.fps / frames))
    if config.seconds is not None:
        wanted = max(1, round(config.seconds * config.fps))
        count = wanted if captured is None and name in OWN_MOTIONS else min(wanted, count)
    if count > _MOST_PICTURES:
        most, rate = _MOST_PICTURES / config.fps, f"{config.fps:g} frames per second"
        raise UserError(f"--seconds: expected at most {most:g} at {rate}, found {count / config.fps:g}")
    return [motion.at_frames(np.arange(count) % frames) for motion in motions]


if __name__ == "__main__":
    run_command(AnimateConfig, main)
