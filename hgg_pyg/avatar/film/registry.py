"""Which formats a film can have: each file of formats/, and yours."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hgg_pyg.avatar.brought import brought, missing_packages, offered
from hgg_pyg.avatar.film.format import FilmFormat
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

_registered: dict[str, FilmFormat] = {}


def register(film_format: FilmFormat) -> FilmFormat:
    """Make a format of yours known, by its name and by the ending of its files.

    Raises:
        ValueError: the name or the ending is another format's.
    """
    for known in film_formats().values():
        if known != film_format and (known.name == film_format.name or known.suffix == film_format.suffix):
            raise ValueError(f"film format: expected a name and an ending that are free, found those of {known.name}")
    _registered[film_format.name] = film_format
    return film_format


def film_formats() -> dict[str, FilmFormat]:
    """Every format by name: ours, and what was registered."""
    return {**_shipped(), **_registered}


@cache
def _shipped() -> dict[str, FilmFormat]:
    return offered("hgg_pyg.avatar.film.formats", "FORMAT", FilmFormat)


def find_film_format(path: Path, name: str | None = None) -> FilmFormat:
    """The format that is meant, for which this Python has what it needs.

    Args:
        path: where the film goes, whose ending decides unless there is a name.
        name: of a format, or "module:NAME" of yours.

    Raises:
        UserError: there is none of this name or ending, it cannot be imported or is no format, or a module that it
            needs is not installed.
    """
    found = _by_suffix(path) if name is None else _by_name(name)
    if found.suffix != path.suffix.lower():
        expected = f"a name that ends in {found.suffix}" if found.suffix else "a folder, whose name has no ending"
        raise UserError(f"--out {path}: expected {expected}, found {path.suffix or 'no ending'}")
    if missing := missing_packages(found.requires):
        pip = f"pip install {' '.join(missing)}"
        raise UserError(f"--out {path}: expected {', '.join(missing)} to write {found.name}, found none: {pip}")
    return found


def _by_suffix(path: Path) -> FilmFormat:
    found = next((known for known in film_formats().values() if known.suffix == path.suffix.lower()), None)
    if found is None:
        known = "; ".join(f"{each.suffix or 'no ending'}: {each.summary}" for each in film_formats().values())
        raise UserError(f"--out {path}: expected a name of one of these ({known}), found {path.suffix}")
    return found


def _by_name(name: str) -> FilmFormat:
    if name in film_formats():
        return film_formats()[name]
    if ":" not in name:
        expected = f"one of {', '.join(film_formats())}, or module:NAME of a format of yours"
        raise UserError(f"--format: expected {expected}; found {shown(repr(name))}")
    return brought("--format", name, FilmFormat, "a FilmFormat")
