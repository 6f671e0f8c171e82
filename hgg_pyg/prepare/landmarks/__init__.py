"""The network that finds people in images, behind one small protocol."""

from hgg_pyg.prepare.landmarks.base import Landmarker, Sighting

__all__ = ["Landmarker", "Sighting"]
