"""What a user brings by "module:NAME", and the modules that a format needs: for exporters and films alike."""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Mapping
from typing import Any

from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError


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
