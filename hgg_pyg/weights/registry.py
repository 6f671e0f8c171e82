"""What `python -m hgg_pyg.weights` can fetch: each file of the folder `sets` that defines a `FETCHABLE`."""

from __future__ import annotations

from functools import cache

from hgg_pyg.avatar.brought import offered
from hgg_pyg.types import UserError
from hgg_pyg.weights.fetchable import Fetchable


@cache
def fetchables() -> dict[str, Fetchable]:
    """All of them, by name."""
    return offered("hgg_pyg.weights.sets", "FETCHABLE", Fetchable)


def find_fetchable(name: str) -> Fetchable:
    """The one of that name.

    Raises:
        UserError: there is none.
    """
    if name not in fetchables():
        raise UserError(f"NAME: expected one of {', '.join(fetchables())}; found {name!r}")
    return fetchables()[name]
