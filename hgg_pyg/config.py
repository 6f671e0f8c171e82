"""Configuration that more than one room reads, and how every configuration is checked, written and read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Config = TypeVar("Config")


@dataclass(frozen=True)
class ClipConfig:
    """What one training clip holds."""

    frames: int = 8
    """T, frames whose Gaussians are joined in one graph"""
    input_views: int = 4
    """cameras whose images the per-frame network sees, spread evenly around the person"""
    target_views: int = 8
    """images that supervise one clip: half from input cameras, half from the others"""
    target_poses: int = 2
    """frames over which the supervised images are spread"""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("frames", "input_views", "target_views", "target_poses"):
            if getattr(self, name) < 1:
                raise ValueError(f"ClipConfig.{name}: expected at least 1, found {getattr(self, name)}")
        if self.target_views % self.target_poses:
            raise ValueError(
                f"ClipConfig.target_views: expected a multiple of target_poses {self.target_poses}, "
                f"found {self.target_views}"
            )


def check_choices(config: Any) -> None:
    """Refuse values that are not of their field's type; of choices, the right ones are listed.

    What `__post_init__` of a configuration dataclass calls first, so that a wrong value ends here wherever it came
    from: Python, a command line or a file.

    Raises:
        ValueError: the field, what was expected and what was found.
    """
    hints = typing.get_type_hints(type(config), include_extras=False)
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        if not _fits(value, hint):
            raise ValueError(f"{type(config).__name__}.{field.name}: expected {_described(hint)}, found {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in options)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in options)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(options) == 2 and options[1] is Ellipsis:
            return all(_fits(item, options[0]) for item in value)
        return len(value) == len(options) and all(map(_fits, value, options))
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _described(hint: Any) -> str:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, options))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_described, options))
    if origin is tuple:
        return f"a tuple of {_described(options[0])}"
    return {type(None): "nothing", int: "an integer", float: "a number", str: "a text", bool: "True or False"}.get(
        hint, getattr(hint, "__name__", str(hint))
    )


def config_json(config: Any) -> str:
    """A configuration dataclass as readable JSON."""
    return json.dumps(asdict(config), indent=2, default=str)


def config_from_json(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A configuration dataclass from what JSON has: objects for dataclasses, strings for paths, lists for tuples.

    Raises:
        ValueError: a name is unknown, or a value is refused by the dataclass.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{kind.__name__}: expected an object, found {values!r}")
    hints = typing.get_type_hints(kind)
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise ValueError(f"{kind.__name__}: expected some of {', '.join(hints)}; found {', '.join(unknown)}")
    return kind(**{name: _from_json(hints[name], value) for name, value in values.items()})


def _from_json(hint: Any, value: Any) -> Any:
    options = typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return config_from_json(hint, value)
    if isinstance(value, list):
        return tuple(_from_json(options[0] if options else Any, item) for item in value)
    if isinstance(value, str) and (hint is Path or Path in options):
        return Path(value)
    return value


def flat_config(config: Any) -> dict[str, Any]:
    """A configuration dataclass by the dotted names of its fields, those of nested dataclasses among them."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= {f"{field.name}.{name}": inner for name, inner in flat_config(value).items()}
        else:
            found[field.name] = value
    return found


def settings_of(config: Any) -> dict[str, Any]:
    """A configuration dataclass as plain JSON values by dotted names, to be kept beside what was made under it."""
    return json.loads(json.dumps(flat_config(config), default=str))


def changed_setting(kept: Mapping[str, Any], config: Any, free: Collection[str] = ()) -> str | None:
    """Where a configuration differs from what `settings_of` said earlier; None where it does not.

    Args:
        kept: what was said.
        config: the configuration now; fields that it has gained since are not looked at.
        free: dotted names of fields that may differ.
    """
    now = settings_of(config)
    for name, value in kept.items():
        if name not in free and now.get(name) != value:
            return f"{name}: expected {value}, found {now.get(name)}"
    return None


def config_digest(*parts: Any) -> str:
    """A short hash of strings and configuration dataclasses, for cache keys."""
    text = "\n".join(part if isinstance(part, str) else config_json(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
