"""The avatar that comes out: Gaussians in the rest pose, bound to a body, and how it is moved."""

from hgg_pyg.avatar.avatar import Avatar

__all__ = ["Avatar"]
