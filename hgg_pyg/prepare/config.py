"""What to prepare, from what, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar

import tyro

from hgg_pyg.config import Bounds, FrameCount, check_choices
from hgg_pyg.io.files import is_folder_name
from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.camera_refinement import CameraRefinementConfig
from hgg_pyg.prepare.fit import FitConfig
from hgg_pyg.prepare.footage.clock import Sampling, Span
from hgg_pyg.prepare.triangulation import TriangulationConfig


@dataclass(frozen=True)
class PrepareConfig:
    """Videos or images of one person from calibrated cameras, and how they become a capture.

    Raises:
        ValueError: a value is out of its bounds, or options that belong together, or exclude each other, do not fit.
    """

    out: Path
    """folder of the capture, which appears when all is done; beside it, hidden, is what an interrupted command goes on
    from"""
    calibration: tuple[Path, ...] = ()
    """calibration file or files, or their folder: OpenCV, Qualisys, Pose2Sim, Caliscope, EasyMocap, COLMAP, our own"""
    videos: tuple[Path, ...] = ()
    """a folder of videos, or video files, one for each camera and called as it"""
    images: Path | None = None
    """instead of videos: a folder with a folder of numbered images for each camera, called as it"""
    board: str | None = None
    """instead of a calibration: a chessboard by its inner corners and the side of a square, 9x6:25mm"""
    board_images: Path | None = None
    """folder of the board's images: intrinsics/ where it is shown to each camera, extrinsics/ where it lies still"""
    height: Annotated[float, Bounds(0.5, 2.6)] | None = None
    """the person's, metres: places the cameras by the person, who walks about; where a calibration has them is not
    looked at, and extrinsics/ of the board are not needed"""
    calibration_format: str | None = None
    """format of the calibration, or module:NAME of yours; by default what the files look like"""
    unit: str | None = None
    """unit of the calibration's lengths: m, cm, mm, or a number of metres; by default its format's"""
    offset: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """CAMERA=N, once for each camera that did not start with the others: its frame N, or its second with `0.35s`, shows
    what frame 0 of the cameras without an offset shows; fractions and negative numbers are fine"""
    every: FrameCount = 1
    """take each N-th moment"""
    start: str | None = None
    """first moment to take: a frame (300) or seconds (10s) of the cameras without an offset"""
    end: str | None = None
    """moment to stop before, written alike"""
    fps: Annotated[float, Bounds(0, 1000, above=True)] | None = None
    """moments a second, where cameras have different frame rates; for images, their rate"""
    longest: Annotated[int, Bounds(64, 65_535)] | None = None
    """longest side of the capture's images in pixels, larger ones are shrunk; by default they stay as they are"""
    landmarker: str = "mediapipe"
    """network that finds people, their landmarks and masks, or module:NAME of yours"""
    people: Annotated[int, Bounds(1, 20)] = 4
    """people to look for in an image, bystanders among them"""
    person: Annotated[int, Bounds(1, 100)] | None = None
    """which of the people that several cameras see is meant, from 1, which is the one seen best and the default"""
    masks: Path | None = None
    """masks of your own, used instead of the network's: a folder with a folder of images for each camera"""
    landmarks_2d: Path | None = None
    """landmarks of your own in the images, used instead of the network's: an .npz file, see docs/prepare.md"""
    landmarks_3d: Path | None = None
    """landmarks of your own in space, instead of triangulated ones: an .npz file, see docs/prepare.md"""
    body: Path | None = None
    """body model file of SMPL or SMPL-X (.npz, .pkl) to be fitted; by default the open body"""
    triangulation: TriangulationConfig = field(default_factory=TriangulationConfig)
    cameras: CameraRefinementConfig = field(default_factory=CameraRefinementConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    MAIN_OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "input": ("videos", "images", "calibration", "unit", "board", "board-images", "height", "out"),
            "time": ("offset", "every", "start", "end", "fps"),
            "person": ("landmarker", "people", "person", "body", "longest"),
            "of your own": ("masks", "landmarks-2d", "landmarks-3d", "calibration-format"),
        }
    )

    def __post_init__(self) -> None:
        check_choices(self)
        if not is_folder_name(self.out.name):
            raise ValueError(f"out: expected the name of a new folder, found {shown(self.out)!a}")
        if bool(self.videos) == (self.images is not None):
            raise ValueError("videos: expected either it or --images, found " + ("both" if self.videos else "neither"))
        if bool(self.calibration) == (self.board is not None):
            found = "both" if self.board else "neither"
            raise ValueError(f"calibration: expected the file of a calibration, or --board, found {found}")
        if (self.board is None) != (self.board_images is None):
            raise ValueError("board_images: expected it with --board, and only then")
        if self.landmarks_2d is not None and self.landmarks_3d is not None:
            raise ValueError("landmarks_3d: expected either it or --landmarks-2d, found both")
        if self.landmarks_3d is not None and self.height is not None:
            raise ValueError("landmarks_3d: expected cameras in the same world, found --height, which makes a new one")
        self.sampling  # noqa: B018  (its texts are looked at)

    @property
    def needs_network(self) -> bool:
        """Whether somebody has to be found in the images."""
        return self.masks is None or (self.landmarks_2d is None and self.landmarks_3d is None)

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read, files and folders."""
        others = (self.images, self.board_images, self.masks, self.landmarks_2d, self.landmarks_3d, self.body)
        return (*self.videos, *self.calibration, *(path for path in others if path is not None))

    @property
    def sampling(self) -> Sampling:
        """Which moments are wanted."""
        offsets: dict[str, Span] = {}
        for text in self.offset:
            camera, sign, span = text.rpartition("=")
            if not sign or not camera:
                raise ValueError(f"offset: expected CAMERA=FRAMES, found {text[:60]!r}")
            if camera in offsets:
                raise ValueError(f"offset: expected one for each camera, found two for {camera}")
            offsets[camera] = Span.parse(span, f"offset: {camera}")
        start, end = (
            None if text is None else Span.parse(text, option)
            for option, text in (("start", self.start), ("end", self.end))
        )
        fps = None if self.images is not None else self.fps
        return Sampling(self.every, start, end, fps, offsets)
