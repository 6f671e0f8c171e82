"""Which edges the Human Gaussian Graph has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphs.anchors import find_anchors
from graphs.relations import find_relation, relation_names

# No machine holds a clip's edges to more vertices, and no body's mesh is as far across in mesh edges.
_MOST = 1000
SEEN_DIM = 4  # of what features say of that, see `graphs.anchors.seen_features`


@dataclass(frozen=True)
class GraphSpec:
    """Which relations a graph has, and the choices that Eqs. 6, 7 and 18 leave open.

    Raises:
        ValueError: a field is not of its type or out of its bounds, or a relation is unknown or comes twice; the
            message names the field.
    """

    relations: tuple[str, ...] = ("binds", "near")
    """The relations over which each block passes messages, in this order: binds (without it the paper's "w.o. intra"),
    near (without it "w.o. inter"), or your own as some.module:function."""

    k: int = 1
    """Nearest vertices that each Gaussian binds to (Eq. 6 has 1)."""

    hops: int = 2
    """Largest distance d_0 on the mesh, in mesh edges, between two vertices that are neighbours (Eq. 7)."""

    readout_k: int = 1
    """Nearest vertices that each Gaussian of the reference frame reads from (Eq. 18 has 1)."""

    anchors: str = "first"
    """The Gaussians that the avatar starts from: first, those of frame t0 (the paper); best-seen, for every part of the
    body those of the frame that saw it best; or some.module:function of yours."""

    born: bool = False
    """Whether vertices that the chosen frames did not see, and that have no Gaussian, get one of their own."""

    tell_seen: bool = False
    """Whether features say how well a Gaussian's vertex is seen, in its frame and in all, and whether it was born."""

    self_loops: bool = True
    """Whether a vertex is its own neighbour: distance 0 is within d_0 in Eq. 7 as written."""

    def __post_init__(self) -> None:
        if isinstance(self.relations, list):  # as JSON has it
            object.__setattr__(self, "relations", tuple(self.relations))
        self._check_relations()
        for name in ("k", "hops", "readout_k"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
                raise ValueError(f"GraphSpec.{name}: expected an integer from 1 to {_MOST}, found {value!r}")
        for name in ("self_loops", "born", "tell_seen"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"GraphSpec.{name}: expected True or False, found {getattr(self, name)!r}")
        if not isinstance(self.anchors, str):
            raise ValueError(f"GraphSpec.anchors: expected a name, found {self.anchors!r}")
        try:
            find_anchors(self.anchors)
        except ValueError as error:
            raise ValueError(f"GraphSpec.{error}") from error

    @property
    def is_papers(self) -> bool:
        """Whether the avatar starts from the reference frame's Gaussians and nothing else."""
        return self.anchors == "first" and not self.born

    @property
    def needs_seen(self) -> bool:
        """Whether nodes must say what is seen."""
        return not self.is_papers or self.tell_seen

    @property
    def extra_features(self) -> int:
        """How many features a Gaussian has besides those of the per-frame network."""
        return SEEN_DIM if self.tell_seen else 0

    def direct(self) -> GraphSpec:
        """The same with the reference frame's Gaussians alone: what direct binding draws."""
        return replace(self, anchors="first", born=False, tell_seen=False)

    def _check_relations(self) -> None:
        names = self.relations
        if not isinstance(names, tuple) or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"GraphSpec.relations: expected names in a tuple, found {names!r}")
        if not names:
            raise ValueError(
                "GraphSpec.relations: expected at least one relation to pass messages over, found none; "
                f"choose from {', '.join(relation_names())}, or some.module:function"
            )
        seen: dict[str, str] = {}
        for name in names:
            try:
                edge_name, _ = find_relation(name)
            except ValueError as error:
                raise ValueError(f"GraphSpec.relations: {error}") from error
            if edge_name in seen:
                raise ValueError(
                    f"GraphSpec.relations: expected different relations, found {seen[edge_name]!r} and {name!r}, "
                    f"whose edges would both be called {edge_name!r}"
                )
            seen[edge_name] = name
