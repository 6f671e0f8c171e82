"""JSON as it comes from others: plain text of any size and depth, read within limits."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hgg_pyg.io.limits import JSON_DEPTH, JSON_FILE, read_within
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_LONGEST_KEY = 255  # characters: what a file can be called
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_json(path: Path, expected: str) -> Any:
    """The content of a JSON file, in UTF-8 with or without a mark, UTF-16 or UTF-32.

    NaN and Infinity come as such, and numbers beyond float64 as infinite ones: which of them may not be is for the
    reader to say, who knows what they are.

    Args:
        path: the file.
        expected: what should be in it, for the messages: "{camera: {K, R, T}}".

    Raises:
        UserError: no such file, larger than 64 MiB, or as `parse_json`.
    """
    content = read_within(path, JSON_FILE, expected)
    try:
        return parse_json(content)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: expected {expected}, found what is not JSON ({error})") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def read_json_object(path: Path, expected: str) -> dict[str, Any]:
    """The content of a JSON file that holds one object.

    Raises:
        UserError: as `read_json`, or it holds anything else.
    """
    content = read_json(path, expected)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected {expected}, found {_kind(content)}")
    return content


def _kind(content: Any) -> str:
    return "a list" if isinstance(content, list) else "a text" if isinstance(content, str) else shown(content)


def parse_json(content: bytes) -> Any:
    """Values out of JSON.

    Raises:
        ValueError: not JSON, deeper than 32, a key twice in one place, a whole number beyond 64 bits, or text that no
            name can be made of.
    """
    try:
        values = json.loads(content, object_pairs_hook=_once, parse_int=_whole)
        _check(values)
        return values
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected text in UTF-8, found the byte {error.object[error.start]:#x} at {error.start}"
        ) from None
    except RecursionError:
        raise ValueError(f"expected at most {JSON_DEPTH} lists and objects within one another, found more") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if (longest := max(map(len, found), default=0)) > _LONGEST_KEY:
        raise ValueError(f"expected keys of at most {_LONGEST_KEY} characters, found one of {longest}")
    if len(found) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"expected every key once, found '{shown(twice)}' twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise ValueError(f"expected whole numbers of 64 bits, found one of {len(digits)} digits")
    return number


def _check(values: Any) -> None:
    """Refuse what is too deep, and text that breaks paths, or the one line of a message."""
    level, depth = [values], 0
    while level:
        depth += 1
        if depth > JSON_DEPTH and any(isinstance(value, dict | list) for value in level):
            raise RecursionError
        level = [part for value in level for part in _parts(value)]


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list):
        yield from value
    elif isinstance(value, str):
        if _CONTROL.search(value):
            raise ValueError(f"expected text without control characters, found {value[:20]!a}")
        if not value.isascii():
            try:
                value.encode("utf-8", "surrogateescape")  # as names that are not UTF-8 are kept
            except UnicodeEncodeError:
                raise ValueError(f"expected text of whole characters, found {value[:20]!a}") from None
