"""The container .ply: elements one after another, each with rows of the same properties; ASCII or binary."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hgg_pyg.types import UserError

_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class Property:
    """One column of an element."""

    name: str
    kind: str  # numpy's
    count: str | None = None  # of a list: numpy's kind of the number before its items


@dataclass(frozen=True)
class Element:
    """What a header says of one element."""

    name: str
    rows: int
    properties: tuple[Property, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the properties."""
        return tuple(column.name for column in self.properties)

    @property
    def lists(self) -> bool:
        """Whether rows differ in length."""
        return any(column.count is not None for column in self.properties)

    @property
    def dtype(self) -> np.dtype:
        """A row, where no property is a list."""
        return np.dtype([(column.name, column.kind) for column in self.properties])


@dataclass(frozen=True)
class Ply:
    """A file whose header is read."""

    path: Path
    encoding: str
    elements: tuple[Element, ...]
    data: memoryview  # all that comes after the header

    def element(self, name: str) -> Element | None:
        """The element of a name, None where there is none."""
        return next((element for element in self.elements if element.name == name), None)

    def tables(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """The rows of some elements, as arrays with a field for each property. What lies between them is passed over.

        Raises:
            UserError: the file is cut off, a row has another number of values, or a property of theirs is a list.
        """
        last = max(index for index, element in enumerate(self.elements) if element.name in names)
        read = self._from_text if self.encoding == "ascii" else self._from_bytes
        for element in self.elements[: last + 1]:
            if element.name in names and element.lists:
                name = next(column.name for column in element.properties if column.count is not None)
                raise UserError(f"{self.path}: {element.name}: expected single numbers, found lists of {name}")
        return read(self.elements[: last + 1], names)

    def _from_bytes(self, elements: tuple[Element, ...], names: Collection[str]) -> dict[str, np.ndarray]:
        tables, start = {}, 0
        for element in elements:
            if element.lists:
                start = self._after_lists(element, start)
                continue
            size = element.rows * element.dtype.itemsize
            if len(self.data) - start < size:
                raise self._cut_off(element, f"{size} bytes", f"{len(self.data) - start}")
            if element.name in names:
                tables[element.name] = np.frombuffer(self.data, element.dtype, element.rows, start)
            start += size
        return tables

    def _after_lists(self, element: Element, start: int) -> int:
        """Where an element ends whose rows have to be gone through one by one."""
        columns = [
            (np.dtype(c.kind).itemsize, None if c.count is None else np.dtype(c.count)) for c in element.properties
        ]
        for _ in range(element.rows):
            for size, count in columns:
                if count is not None:
                    if start + count.itemsize > len(self.data):
                        raise self._cut_off(element, f"{element.rows} rows", "fewer")
                    size *= max(0, int(np.frombuffer(self.data, count, 1, start)[0]))
                    start += count.itemsize
                start += size
        return start

    def _from_text(self, elements: tuple[Element, ...], names: Collection[str]) -> dict[str, np.ndarray]:
        lines = [line for line in bytes(self.data).decode("ascii", "replace").splitlines() if line.strip()]
        tables, start = {}, 0
        for element in elements:
            rows = lines[start : start + element.rows]
            if len(rows) < element.rows:
                raise self._cut_off(element, f"{element.rows} lines", f"{len(rows)}")
            if element.name in names:
                tables[element.name] = self._parsed(element, rows)
            start += element.rows
        return tables

    def _parsed(self, element: Element, rows: list[str]) -> np.ndarray:
        try:
            kind = [(name, "f8") for name in element.names]
            return np.loadtxt(rows, kind, comments=None, ndmin=1) if rows else np.empty(0, kind)
        except ValueError as error:
            reason = str(error).partition(";")[0]
            expected = f"expected {len(element.properties)} numbers per {element.name}"
            raise UserError(f"{self.path}: {expected} ({reason})") from None

    def _cut_off(self, element: Element, expected: str, found: str) -> UserError:
        return UserError(f"{self.path}: expected {expected} of {element.name}, found {found}: cut off")


def parse_ply(path: Path, content: bytes) -> Ply:
    """Read the header of a file's content.

    Args:
        path: for the messages.
        content: of the whole file.

    Raises:
        UserError: no header, or a damaged one.
    """
    end = re.search(rb"\nend_header[ \t]*\r?\n", content)
    if not content.startswith(b"ply") or end is None:
        raise UserError(f"{path}: expected a .ply file with a whole header, found {content[:16]!r}...")
    encoding, elements = "", list[tuple[str, int, list[Property]]]()
    for line in content[: end.start()].decode("ascii", "replace").splitlines()[1:]:
        try:
            match line.split():
                case ["format", name, _] if name in _ORDERS and not encoding:
                    encoding = name
                case ["element", name, number] if number.isascii() and number.isdigit():
                    elements.append((name, int(number), []))
                case ["property", "list", count, kind, name] if _TYPES[count][0] != "f":
                    order = _ORDERS[encoding]
                    elements[-1][2].append(Property(name, order + _TYPES[kind], order + _TYPES[count]))
                case ["property", kind, name]:
                    elements[-1][2].append(Property(name, _ORDERS[encoding] + _TYPES[kind]))
                case [] | ["comment" | "obj_info", *_]:
                    pass
                case _:
                    raise ValueError
        except (ValueError, LookupError):  # ValueError: a number of thousands of digits
            raise UserError(f"{path}: header: expected format, element or property, found {line[:60]!r}") from None
    made = tuple(Element(name, rows, tuple(properties)) for name, rows, properties in elements)
    for names in ([element.name for element in made], *(element.names for element in made)):
        if len(set(names)) < len(names):
            twice = max(names, key=names.count)
            raise UserError(f"{path}: header: expected each element and property once, found {twice} twice")
    return Ply(path, encoding, made, memoryview(content)[end.end() :])
