"""The network that finds people in images, behind one small protocol."""

from hgg_pyg.prepare.landmarks.base import Landmarker, Sighting
from hgg_pyg.prepare.landmarks.registry import DEFAULT_LANDMARKER, LANDMARKERS, find_landmarker

__all__ = ["DEFAULT_LANDMARKER", "LANDMARKERS", "Landmarker", "Sighting", "find_landmarker"]
