"""Which edges the Human Gaussian Graph has."""

from __future__ import annotations

from dataclasses import dataclass

from graphs.relations import find_relation, relation_names

# No machine holds a clip's edges to more vertices, and no body's mesh is as far across in mesh edges.
_MOST = 1000


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
        if not isinstance(self.self_loops, bool):
            raise ValueError(f"GraphSpec.self_loops: expected True or False, found {self.self_loops!r}")

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
