"""Packages that an extra of this one brings, and what is said where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from hgg_pyg.types import UserError


def import_extra(module: str, extra: str, what: object, called: str | None = None) -> Any:
    """A module of a package that not everybody has installed.

    Args:
        module: its name.
        extra: of this package that brings it.
        what: needs it, for the message.
        called: what people call it; by default the module's name.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        advice = f'pip install "hgg_pyg[{extra}]"'
        raise UserError(f"{what}: expected {called or module}, found none: {advice}") from None
