"""What `python -m hgg_pyg.weights` can fetch: each file of the folder `sets` that defines a `FETCHABLE`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from hgg_pyg.types import UserError
from hgg_pyg.weights.fetchable import Fetchable


@cache
def fetchables() -> dict[str, Fetchable]:
    """All of them, by name."""
    package = importlib.import_module("hgg_pyg.weights.sets")
    found: dict[str, Fetchable] = {}
    for info in pkgutil.iter_modules(package.__path__):
        fetchable = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), "FETCHABLE", None)
        if isinstance(fetchable, Fetchable):
            found[fetchable.name] = fetchable
    return dict(sorted(found.items()))


def find_fetchable(name: str) -> Fetchable:
    """The one of that name.

    Raises:
        UserError: there is none.
    """
    if name not in fetchables():
        raise UserError(f"NAME: expected one of {', '.join(fetchables())}; found {name!r}")
    return fetchables()[name]
