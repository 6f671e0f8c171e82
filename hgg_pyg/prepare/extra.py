"""What the extra `prepare` brings, and what is said where it is missing."""

from __future__ import annotations

from typing import Any

from hgg_pyg.io.extras import import_extra


def opencv(what: str) -> Any:
    """The module cv2.

    Args:
        what: needs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    return import_extra("cv2", "prepare", what, "OpenCV")
