"""Which edges the Human Gaussian Graph has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class GraphSpec:
    """The choices that Eqs. 6, 7 and 18 leave open.

    Raises:
        ValueError: a field is not of its type or below its smallest value; the message names it.
    """

    relations: tuple[str, ...] = ("binds", "near")
    """The relations over which each block passes messages, in this order."""

    k: int = 1
    """Nearest vertices that each Gaussian binds to (Eq. 6 has 1)."""

    hops: int = 2
    """Largest distance d_0 on the mesh, in mesh edges, between two vertices that are neighbours (Eq. 7)."""

    readout_k: int = 1
    """Nearest vertices that each Gaussian of the chosen frame reads from (Eq. 18 has 1)."""

    self_loops: bool = True
    """Whether a vertex is its own neighbour: distance 0 is within d_0 in Eq. 7 as written."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.relations if name not in ("binds", "near")]
        if unknown or not self.relations:
            raise ValueError(f"GraphSpec.relations: expected some of binds, near, found {unknown or 'none'}")
        for name in ("k", "hops", "readout_k"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"GraphSpec.{name}: expected an integer of at least 1, found {value!r}")
        if not isinstance(self.self_loops, bool):
            raise ValueError(f"GraphSpec.self_loops: expected True or False, found {self.self_loops!r}")


PRESETS: Mapping[str, GraphSpec] = MappingProxyType({"paper": GraphSpec(k=1, hops=2, readout_k=1)})
"""Named graphs; "paper" is the one of Section 3.2."""
