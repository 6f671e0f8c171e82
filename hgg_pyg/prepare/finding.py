"""The second and the third stage together: the person in images and in space, by the network or from the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hgg_pyg.prepare.config import PrepareConfig
from hgg_pyg.prepare.destination import stamp
from hgg_pyg.prepare.footage.clock import Span
from hgg_pyg.prepare.footage.filming import Filmed
from hgg_pyg.prepare.landmarks import Landmarker, find_landmarker
from hgg_pyg.prepare.locating import Located, locate, place
from hgg_pyg.prepare.own_inputs import file_masks, own_mask_of, read_own
from hgg_pyg.prepare.people import Sightings, see_people
from hgg_pyg.prepare.progress import progress_bars
from hgg_pyg.prepare.stages import Stage

_PEOPLE = "people"


@dataclass(frozen=True)
class Finder:
    """Finds the person as the options say."""

    config: PrepareConfig
    offsets: Mapping[str, Span]  # by camera as the calibration calls it
    work: Path

    @cached_property
    def _network(self) -> Landmarker:
        return find_landmarker(self.config.landmarker)

    def make_ready(self) -> None:
        """Load the network where it will be needed, so that what it lacks is said before images are decoded.

        Raises:
            UserError: as `find_landmarker`.
        """
        if self.config.needs_network and not Stage.was_done(self.work, _PEOPLE):
            _ = self._network

    def find(self, images: Stage, filmed: Filmed) -> tuple[Stage, Located]:
        """The person in F images of V cameras.

        Args:
            images: the stage that made them.
            filmed: the images.

        Returns:
            The stage of the landmarks in space, and what was found.

        Raises:
            UserError: as `read_own`, `see_people`, `locate` and `place`.
        """
        config, work = self.config, self.work
        own = read_own(config.landmarks_2d, config.landmarks_3d, config.masks, filmed)
        key, seen = self._see(images, filmed) if config.needs_network else (images.key, None)
        source = own.landmarks or own.points or seen
        assert source is not None
        with progress_bars("3/5 landmarks in space", "step") as bar:
            if own.masks is not None and config.masks is not None:
                masks = Stage.open(work, "masks", key, stamp(config.masks, config.out))
                file_masks(masks, own.masks, filmed, bar)
                key, mask_of = masks.key, own_mask_of(masks.folder)
            else:
                assert seen is not None
                mask_of = seen.mask_of(source.landmarks)
            given = [stamp(path, config.out) for path in (config.landmarks_2d, config.landmarks_3d) if path is not None]
            cameras = _numbers(filmed)
            stage = Stage.open(
                work,
                "space",
                key,
                cameras,
                *given,
                str(config.person),
                str(config.height),
                config.triangulation,
                config.cameras,
            )
            if own.points is not None:
                points = own.points.at(filmed.sources[:, self._on_time(filmed)].tolist())
                return stage, place(stage, points, own.points.landmarks, filmed, mask_of)
            people = own.sightings(filmed) if own.landmarks is not None or seen is None else seen.all()
            found = locate(
                stage=stage,
                sightings=people,
                landmarks=source.landmarks,
                filmed=filmed,
                person=config.person,
                height=config.height,
                config=config.triangulation,
                refinement=config.cameras,
                offsets=self.offsets,
                mask_of=mask_of,
                bar=bar,
            )
            return stage, found

    def _see(self, images: Stage, filmed: Filmed) -> tuple[str, Sightings]:
        config = self.config
        stage = Stage.open(self.work, _PEOPLE, images.key, config.landmarker, str(config.people))
        with progress_bars("2/5 people", "image") as bar:
            seen = see_people(stage, lambda: self._network, filmed.read, filmed.shape, config.people, bar)
        return stage.key, seen

    def _on_time(self, filmed: Filmed) -> int:
        """A camera without an offset, whose frames those of landmarks in space are counted as."""
        return next((n for n, name in enumerate(filmed.calibration.names) if name not in self.offsets), 0)


def _numbers(filmed: Filmed) -> str:
    cameras = filmed.calibration
    return str([part.tolist() for part in (cameras.K, cameras.R, cameras.T, cameras.distortion)])
