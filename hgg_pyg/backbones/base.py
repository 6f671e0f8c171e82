"""What every per-frame backbone is given, and what it answers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hgg_pyg.types import Cameras, Gaussians


@dataclass(frozen=True)
class Moment:
    """One person at one moment: the body as it stands, and V cameras whose pixels are read when they are asked for."""

    subject: str
    frame: int  # its number, as in the file names
    cameras: Cameras  # V
    vertices: Tensor  # [N, 3] the posed body, world, metres
    vertex_transforms: Tensor  # [N, 4, 4] each vertex's map from the rest pose to the world
    faces: Tensor  # [F, 3]
    read: Callable[[], tuple[Tensor, Tensor]]
    up: Tensor | None = None  # [3] the world's vertical axis, unit, as all poses of the capture have it

    def pixels(self) -> tuple[Tensor, Tensor]:
        """Colours [V, H, W, 3] in [0, 1], and masks [V, H, W]: the share of the pixel that the person covers.

        Raises:
            ValueError: they do not have the cameras' number and size.
            UserError: a file is broken.
        """
        images, masks = self.read()
        expected = (len(self.cameras), self.cameras.height, self.cameras.width)
        for name, tensor, shape in (("images", images, (*expected, 3)), ("masks", masks, expected)):
            if tuple(tensor.shape) != shape:
                raise ValueError(f"Moment: {name}: expected {shape}, found {tuple(tensor.shape)}")
        return images, masks


class Backbone(Protocol):
    """Makes Gaussians of one moment. Frozen: same input, same output, no gradients.

    The features must mean the same in every pose and place: they are given in the frame of the vertex that a Gaussian
    is bound to, never in world coordinates.
    """

    @property
    def views(self) -> int | None:
        """How many cameras it needs, None for any number."""
        ...

    @property
    def one_core(self) -> bool:
        """Whether it computes on the CPU: several threads then call it side by side, with one of torch's each."""
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
        """Changes with everything the result depends on besides the moment: for the key of a cache."""
        ...

    @property
    def contents(self) -> str:
        """As `digest`, but the same wherever its files are: what a run that has moved is known by."""
        ...

    def lacking(self, subject: str, frame: int) -> str | None:
        """What there is not of a frame, by its number, so that it is left out; None if all is there.

        It is asked of every frame, before any image is read.
        """
        ...

    def __call__(self, moment: Moment) -> Gaussians:
        """Gaussians in the world with features [M, C], float32, on the CPU. M is 0 if nothing is seen.

        Raises:
            ValueError: shapes do not fit.
            UserError: a file is missing or broken.
        """
        ...


class FromImages:
    """What a backbone inherits that reads nothing but a moment: no frame lacks anything, and no file can move."""

    @property
    def digest(self) -> str:
        """See `Backbone`."""
        raise NotImplementedError

    @property
    def contents(self) -> str:
        """The digest."""
        return self.digest

    def lacking(self, subject: str, frame: int) -> str | None:
        """Nothing."""
        return None
