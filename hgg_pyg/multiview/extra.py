"""What the extra `diffusion` brings, and what is said where it is missing."""

from __future__ import annotations

from typing import Any

from hgg_pyg.types import UserError


def diffusers(what: str) -> Any:
    """The package diffusers.

    Args:
        what: needs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    try:
        import diffusers
    except ImportError:
        raise _missing(what, "diffusers") from None
    return diffusers


def transformers(what: str) -> Any:
    """The package transformers; see `diffusers`."""
    try:
        import transformers
    except ImportError:
        raise _missing(what, "transformers") from None
    return transformers


def _missing(what: str, package: str) -> UserError:
    return UserError(f'{what}: expected {package}, found none: pip install "hgg_pyg[diffusion]"')
