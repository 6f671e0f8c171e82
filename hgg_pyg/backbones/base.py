"""What every per-frame backbone answers to."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from hgg_pyg.types import Cameras, Gaussians


class Backbone(Protocol):
    """Makes Gaussians of what V cameras see at one moment. Frozen: same input, same output, no gradients.

    The features must mean the same in every pose and place: they are given in the frame of the vertex that a Gaussian
    is bound to, never in world coordinates.
    """

    @property
    def views(self) -> int | None:
        """How many cameras it needs, None for any number."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each of the C features."""
        ...

    @property
    def feature_dim(self) -> int:
        """C, features of a Gaussian."""
        ...

    @property
    def digest(self) -> str:
        """Changes with everything the result depends on besides the inputs: for the key of a cache."""
        ...

    def __call__(
        self,
        images: Tensor,  # [V, H, W, 3] in [0, 1]
        masks: Tensor,  # [V, H, W] share of the pixel that the person covers
        cameras: Cameras,  # V
        vertices: Tensor,  # [N, 3] the posed body, world, metres
        transforms: Tensor,  # [N, 4, 4] each vertex's map from the rest pose to the world
        faces: Tensor,  # [F, 3]
    ) -> Gaussians:
        """Gaussians in the world with features [M, C], on the device of `images`.

        Raises:
            ValueError: shapes do not fit.
        """
        ...
