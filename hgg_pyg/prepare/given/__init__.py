"""What people bring instead of what our network finds: landmarks in images or in space, and masks."""

from hgg_pyg.prepare.given.landmarks2d import GivenLandmarks, read_landmarks
from hgg_pyg.prepare.given.masks import GivenMasks, read_masks
from hgg_pyg.prepare.given.points3d import GivenPoints, read_points3d

__all__ = ["GivenLandmarks", "GivenMasks", "GivenPoints", "read_landmarks", "read_masks", "read_points3d"]
