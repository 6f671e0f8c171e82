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
        raise UserError(f'{what}: expected diffusers, found none: pip install "hgg_pyg[diffusion]"') from None
    return diffusers
