"""What was found, in a few words of one line, for messages."""

from __future__ import annotations


def shown(value: object, length: int = 60) -> str:
    """The beginning of a value as text, or its type where it has none: too deep, or a number of too many digits."""
    try:
        return " ".join(str(value).split())[:length]
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too large to show"
