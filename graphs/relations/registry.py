"""Relations by name: those that are registered, and functions of any module as "some.module:function"."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, overload

from graphs.brought import brought_function
from graphs.relations.relation import Relation

if TYPE_CHECKING:
    from graphs.nodes import ClipNodes

RelationFunction = Callable[["ClipNodes"], Relation]
"""A relation is a function of a clip's nodes."""

_REGISTERED: dict[str, RelationFunction] = {}


@overload
def register_relation(name: str, function: RelationFunction) -> RelationFunction: ...
@overload
def register_relation(name: str) -> Callable[[RelationFunction], RelationFunction]: ...
def register_relation(
    name: str, function: RelationFunction | None = None
) -> RelationFunction | Callable[[RelationFunction], RelationFunction]:
    """Give a relation a name that `GraphSpec.relations` may hold; without `function`, a decorator that does so.

    The name is the middle of its edges' type: ("vertex", name, "vertex"). A function may be registered again, as when
    its module is reloaded.

    Raises:
        ValueError: the name is empty, has a colon or a dot in it, or is taken by another function.
        TypeError: `function` cannot be called.
    """
    if function is None:

        def decorate(decorated: RelationFunction) -> RelationFunction:
            return register_relation(name, decorated)

        return decorate
    if not isinstance(name, str) or not name or set(name) & set(":."):
        raise ValueError(f"relation: expected a name without colons and dots, found {name!r}")
    if not callable(function):
        raise TypeError(f"relation {name!r}: expected a function of a clip's nodes, found {function!r}")
    taken = _REGISTERED.get(name, function)
    if _origin(taken) != _origin(function):
        raise ValueError(f"relation {name!r}: this name is taken by {taken!r}; choose another")
    _REGISTERED[name] = function
    return function


def relation_names() -> tuple[str, ...]:
    """The names that are registered, in order of registration."""
    return tuple(_REGISTERED)


def find_relation(name: str) -> tuple[str, RelationFunction]:
    """The middle of a relation's edge type and its function.

    Args:
        name: one that is registered, or "some.module:function", whose edges are called by the function's name.

    Raises:
        ValueError: there is no such relation; the message names it, lists those that there are, and says what failed.
    """
    if name in _REGISTERED:
        return name, _REGISTERED[name]
    try:
        function = brought_function(name, "it is not registered")
    except ValueError as error:
        expected = f"expected one of {', '.join(_REGISTERED)}, or some.module:function that can be imported"
        raise ValueError(f"relation {name!r}: {expected} ({error})") from error
    return name.partition(":")[2].rpartition(".")[2], function


def _origin(function: object) -> tuple[object, ...]:
    """What stays of a function when its module is loaded again."""
    names = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return names if names[1] is not None and "<" not in names[1] else (id(function),)
