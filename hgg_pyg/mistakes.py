"""What tyro and argparse say of a wrong command line, in a box and in words of their own, as one line of ours."""

from __future__ import annotations

import re
import typing
from typing import Any

import tyro

_TITLES = ("Value error", "Invalid choice", "Missing argument", "Unrecognized options", "Required options")
_KINDS = {"INT": "an integer", "FLOAT": "a number"}


def one_line(config: type, said: str, program: str) -> str:
    """The option, what was expected, and what was found.

    Args:
        config: the class that the command line was to become.
        said: what was printed, at a width that breaks no line.
        program: `python -m hgg_pyg.NAME`.
    """
    text = re.sub(r"[\u2500-\u257f]+|-{5,}", " ", re.sub(r"^usage: .*\n", "", said))
    suggested = re.findall(r"^\s*(--[\w.-]+)", text.partition("Perhaps you meant:")[2], re.MULTILINE)
    text = " ".join(text.split()).removeprefix(f"{program}: error: ")
    for title in _TITLES:
        text = text.removeprefix(f"{title} ")
    for rest in (" For full helptext, ", " Argument helptext: ", " Perhaps you meant:", " Got errors: "):
        text = text.partition(rest)[0]
    if found := re.fullmatch(r"Unrecognized options: (.*)", text):
        perhaps = f"perhaps {' or '.join(dict.fromkeys(suggested))}" if suggested else f"see {program} --help"
        return f"{found[1]}: expected options that there are, {perhaps}"
    if found := re.match(r"Error parsing (\S+): (.*)", text, re.DOTALL):
        return _refused(config, found[1], found[2])
    if found := re.fullmatch(
        r"(?:argument |)invalid choice '(.*)' for argument '(\S+)'. Expected one of \((.*)\)\.", text
    ):
        choices = [choice for choice in re.findall(r"'([^']*)'", found[3]) if choice != "None"]
        return f"{found[2]}: expected one of {', '.join(choices)}, found {found[1]!r}"
    if found := re.fullmatch(r"argument (\S+): invalid choice: (.*) \(choose from (.*)\)", text):
        return f"{found[1]}: expected one of {found[3]}, found {found[2]}".replace("'", "")
    if found := re.fullmatch(r"Missing value for argument '(\S+)'\. Expected (\d+) values\.", text):
        return f"{found[1]}: expected {'a value, found none' if found[2] == '1' else f'{found[2]} values, found fewer'}"
    return re.sub(r"^Missing from .*?: ", "missing: ", text)


def _refused(config: type, where: str, why: str) -> str:
    """A value that its type, or the configuration that it belongs to, does not take."""
    if where.startswith("--") or where.isupper():  # an option, or the name of a positional argument
        for kind, begin in (
            ("a number", "could not convert string to float:"),
            ("an integer", "invalid literal for int"),
        ):
            if why.startswith(begin):
                return f"{where}: expected {kind}, found {why.rpartition(': ')[2]}"
        if found := re.match(r"no type matching (.*) could be instantiated from \[(.*)\]", why):
            kind = re.sub(r"\{None\}\||[{}]", "", found[1])
            return f"{where}: expected {_KINDS.get(kind, kind)}, found {found[2]}"
        return f"{where}: {why}"
    inner = "" if where == config.__name__ else f"{where}."
    if found := re.match(r"(?:[A-Z]\w*\.)?([a-z]\w*): (.*)", why, re.DOTALL):
        name = found[1] if not inner and _positional(config, found[1]) else f"--{inner}{found[1]}".replace("_", "-")
        return f"{name}: {found[2]}"
    return why


def _positional(config: type, name: str) -> bool:
    hint: Any = typing.get_type_hints(config, include_extras=True).get(name)
    return tyro.conf.Positional in getattr(hint, "__metadata__", ())
