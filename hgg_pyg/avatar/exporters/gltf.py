"""The container of glTF 2.0: arrays become accessors of one buffer, which lies behind its JSON in one .glb file."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

_COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_SHAPES = {(): "SCALAR", (1,): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_VERTEX_DATA = 34962  # ARRAY_BUFFER, from WebGL


class GltfBuffer:
    """Accessors, their views and their bytes, as they are added one after the other."""

    def __init__(self) -> None:
        self.accessors: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.bytes = bytearray()

    def add(self, array: np.ndarray, *, normalized: bool = False, bounds: bool = False) -> int:
        """Add values that are not drawn: times, rotations of joints, matrices (column by column).

        Args:
            array: [N], [N, 2..4] or [N, 4, 4] of a type that glTF has.
            normalized: integers stand for numbers in [0, 1] or [-1, 1].
            bounds: say the least and the greatest values, which glTF wants of times and positions.

        Returns:
            The accessor's index.
        """
        return self._add(np.ascontiguousarray(array), array.nbytes // max(len(array), 1), None, normalized, bounds)

    def add_vertices(self, array: np.ndarray, *, normalized: bool = False, bounds: bool = False) -> int:
        """Add an attribute of vertices, each padded to a multiple of 4 bytes, as glTF wants it. Otherwise as `add`."""
        packed = np.ascontiguousarray(array).reshape(len(array), -1)
        size = packed.itemsize * packed.shape[1]
        padded = np.zeros((len(packed), -(-size // 4) * 4), np.uint8)
        padded[:, :size] = packed.view(np.uint8)
        return self._add(array, padded.shape[1], padded, normalized, bounds)

    def _add(self, array: np.ndarray, stride: int, padded: np.ndarray | None, normalized: bool, bounds: bool) -> int:
        self.bytes.extend(bytes(-len(self.bytes) % 4))
        content = (array if padded is None else padded).tobytes()
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(content)}
        if padded is not None:
            view["target"] = _VERTEX_DATA
            view["byteStride"] = stride
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": _COMPONENTS[array.dtype.str[1:]],
            "count": len(array),
            "type": _SHAPES[array.shape[1:]],
        }
        if normalized:
            accessor["normalized"] = True
        if bounds:
            accessor["min"], accessor["max"] = (np.atleast_1d(end).tolist() for end in (array.min(0), array.max(0)))
        self.views.append(view)
        self.accessors.append(accessor)
        self.bytes.extend(content)
        return len(self.accessors) - 1

    def glb(self, document: dict[str, Any]) -> bytes:
        """A .glb file of a document, whose accessors, views and buffer these are."""
        content = bytes(self.bytes) + bytes(-len(self.bytes) % 4)
        whole = {
            **document,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(content)}],
        }
        text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text = text.encode("utf-8", "replace")  # names of files may be no letters at all
        text += b" " * (-len(text) % 4)
        header = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(content))
        chunks = (struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(content), b"BIN\0"), content)
        return b"".join((header, *chunks))
