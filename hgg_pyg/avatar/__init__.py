"""The avatar that comes out: Gaussians in the rest pose that follow a skeleton, its file, and how it is moved."""

from hgg_pyg.avatar.animator import Animator
from hgg_pyg.avatar.avatar import Avatar, Seen
from hgg_pyg.avatar.bound import BoundAvatar
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.avatar.skeleton import Skeleton

__all__ = ["Animator", "Avatar", "BoundAvatar", "Motion", "Seen", "Skeleton"]
