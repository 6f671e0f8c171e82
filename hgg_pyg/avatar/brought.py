"""What a folder's files offer, what a user brings by "module:NAME", and the modules that it needs: for registries."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from typing import Any

from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError


def offered(package: str, attribute: str, kind: Any) -> dict[str, Any]:
    """What a package's files offer, by its name.

    Args:
        package: whose modules are all imported.
        attribute: that those which offer something define; it has a `name`.
        kind: class that it must be of, or a union of classes.
    """
    folder = importlib.import_module(package)
    modules = (importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(folder.__path__))
    found: dict[str, Any] = {}
    for module in modules:
        one: Any = getattr(module, attribute, None)
        if isinstance(one, kind):
            found[one.name] = one
    return dict(sorted(found.items()))


def brought(option: str, name: str, kind: Any, what: str) -> Any:
    """An object of the user's own.

    Args:
        option: that names it, for messages.
        name: "module:NAME".
        kind: class that it must be of, or a union of classes.
        what: it must be, in words.

    Raises:
        UserError: it cannot be imported, or is something else.
    """
    try:
        found = pkgutil.resolve_name(name)
    except (Exception, SystemExit) as error:  # a module of somebody else's may fail in any way
        raise UserError(f"{option}: {shown(repr(name))} cannot be imported from here ({shown(error, 200)})") from error
    if not isinstance(found, kind):
        raise UserError(f"{option}: expected {shown(repr(name))} to be {what}, found {type(found).__name__}")
    return found


def missing_packages(requires: Mapping[str, str]) -> list[str]:
    """What pip would have to install.

    Args:
        requires: modules, each with the name that pip knows it by.
    """
    return [package for module, package in requires.items() if importlib.util.find_spec(module) is None]
