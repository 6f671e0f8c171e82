"""A user's own landmark network: made ready, and what it finds checked, so that its mistakes end in a line."""

from __future__ import annotations

import numpy as np

from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks.base import Landmarker, Sighting
from hgg_pyg.types import UserError


class OwnLandmarker:
    """A `Landmarker` around the user's.

    Args:
        name: "module:NAME", for messages.
        found: the user's object with the protocol, or a class or function that gives one without arguments.

    Raises:
        UserError: it fails, or lacks what the protocol has.
    """

    def __init__(self, name: str, found: object) -> None:
        self._name = f"--landmarker {shown(repr(name))}"
        self._network: Landmarker = self._made(found)  # type: ignore[assignment]
        self.landmarks = self._network.landmarks

    def find(self, image: np.ndarray, most: int) -> list[Sighting]:
        """The people in an image. See `Landmarker`.

        Raises:
            UserError: the user's network fails, or what it finds is no list of sightings of this image.
        """
        try:
            people = list(self._network.find(image, most))
        except UserError:
            raise
        except Exception as error:  # a network of somebody else's may fail in any way
            raise UserError(f"{self._name}: find(image, most) failed ({_said(error)})") from error
        return [self._checked(person, image.shape[:2]) for person in people[:most]]

    def _made(self, found: object) -> object:
        made = found
        if isinstance(found, type) or (callable(found) and not hasattr(found, "find")):
            try:
                made = found()
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"{self._name}: cannot be made ready ({_said(error)})") from error
        if not callable(getattr(made, "find", None)) or not isinstance(getattr(made, "landmarks", None), LandmarkSet):
            expected = "an object with landmarks (a LandmarkSet) and find(image, most)"
            raise UserError(f"{self._name}: expected {expected}, found {type(made).__name__}")
        return made

    def _checked(self, person: object, size: tuple[int, ...]) -> Sighting:
        if not isinstance(person, Sighting):
            raise UserError(f"{self._name}: expected find to give Sightings, found {type(person).__name__}")
        points, mask = np.asarray(person.points), person.mask
        if points.shape != (len(self.landmarks), 3) or points.dtype.kind not in "fiu":
            expected = f"points of [{len(self.landmarks)}, 3] numbers, as many as it has landmarks"
            raise UserError(f"{self._name}: expected {expected}, found {list(points.shape)} of {points.dtype}")
        if mask is not None and (np.shape(mask) != size or getattr(mask, "dtype", None) != np.uint8):
            found = f"{list(np.shape(mask))} of {getattr(mask, 'dtype', type(mask).__name__)}"
            expected = f"a mask of {list(size)} uint8, as large as the image"
            raise UserError(f"{self._name}: expected {expected}, found {found}")
        return Sighting(points.astype(np.float64), mask)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {shown(error, 200)}"
