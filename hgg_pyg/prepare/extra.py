"""What the extra `prepare` brings, and what is said where it is missing."""

from __future__ import annotations

from typing import Any

from hgg_pyg.types import UserError


def opencv(what: str) -> Any:
    """The module cv2.

    Args:
        what: needs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    try:
        import cv2
    except ImportError:
        message = f'{what}: expected OpenCV, found none: pip install opencv-python-headless, or "hgg_pyg[prepare]"'
        raise UserError(message) from None
    return cv2
