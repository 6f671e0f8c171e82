"""OpenCV's FileStorage (.yml, .yaml, .xml, .json), as plain dictionaries, lists, numbers and text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hgg_pyg.io.limits import JSON_DEPTH, read_within
from hgg_pyg.prepare.extra import opencv
from hgg_pyg.types import UserError

_LARGEST = 8 * 2**20  # bytes: a thousand cameras have one million
_HEADER = "%YAML:1.0\n---\n"
_EXPECTED = "a file of OpenCV's FileStorage"


def read_storage(path: Path) -> dict[str, Any]:
    """The content of a file; a matrix is a list of its numbers, row by row.

    Raises:
        UserError: no such file, not of this kind, a matrix with other than rows x cols numbers, or OpenCV is missing.
    """
    cv2 = opencv(f"{path}: to read {_EXPECTED}")
    text = read_within(path, _LARGEST, _EXPECTED).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    if not text.lstrip().startswith(("%YAML", "<", "{")):  # OpenCV wants a heading that not everybody writes
        text = _HEADER + text
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        root = storage.root()
        content = {key: _plain(root.getNode(key), JSON_DEPTH) for key in root.keys()}  # noqa: SIM118
        storage.release()
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception:  # OpenCV raises SystemError for some of what it cannot read
        raise UserError(f"{path}: expected {_EXPECTED}, found what OpenCV cannot read as such") from None
    return content


def _plain(node: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError(f"expected at most {JSON_DEPTH} lists and maps within one another, found more")
    if node.isMap():
        content = {key: _plain(node.getNode(key), depth - 1) for key in node.keys()}  # noqa: SIM118
        return _matrix(content) if "data" in content else content
    if node.isSeq():
        return [_plain(node.at(i), depth - 1) for i in range(node.size())]
    if node.isInt():
        return int(node.real())
    if node.isReal():
        return node.real()
    return node.string() if node.isString() else None


def _matrix(content: dict[str, Any]) -> Any:
    """The numbers of a matrix, of which OpenCV writes rows and cols, or sizes where it has one dimension or three."""
    data, sizes = content["data"], content.get("sizes", [content.get("rows"), content.get("cols")])
    if isinstance(data, list) and isinstance(sizes, list) and all(isinstance(size, int) for size in sizes):
        if len(data) != math.prod(sizes):
            raise ValueError(f"expected a matrix of {' x '.join(map(str, sizes))} numbers, found {len(data)}")
        return data
    return content
