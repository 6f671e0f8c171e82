"""What was found, in a few words of one line, for messages; names for pictures."""

from __future__ import annotations


def shown(value: object, length: int = 60) -> str:
    """The beginning of a value as text, or its type where it has none: too deep, or a number of too many digits."""
    try:
        return " ".join(str(value).split())[:length]
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too large to show"


def drawable(name: str) -> str:
    """A name for matplotlib, which stops at a byte that is not UTF-8, and at dollars that hold no formula."""
    return name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
