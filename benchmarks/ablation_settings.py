"""A setting of `benchmarks.ablation`: what it changes of the default one, which names its runs, and how it is read."""

from __future__ import annotations

import re
import types
import typing
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hgg_pyg.config import check_choices, config_digest, flat_config
from hgg_pyg.training.run import TrainConfig

DEFAULT = "default"
_LONGEST_NAME = 100  # characters; longer names of runs end with a hash
# What all settings share, so that their scores and times compare, and what is a run's own business or its graph's.
_SHARED = re.compile(
    r"(name|out|resume|seed|data|cache|body|image_size|crop|protocol|precision|checkpoint_every|validate_every|"
    r"clip\.input_views|model\.in_channels|model\.num_vertices|model\.relations|backbone\..*)"
)
_LATER = "variety."  # fields that are younger than the names of runs


@dataclass(frozen=True)
class Setting:
    """One line of a study's table."""

    label: str
    config: TrainConfig
    """of its runs, but for the seed"""
    name: str
    """of its runs, but for the seed: what it changes"""
    trained: bool = True
    """False for the baseline, which is read off the runs that it names: they score direct binding too"""
    papers_gain: float | None = None
    """over direct binding on novel poses of the paper's own data, dB, where its Table 2 has this line"""

    @property
    def default(self) -> bool:
        """Whether it changes nothing."""
        return self.trained and self.name == DEFAULT

    def run(self, seed: int) -> TrainConfig:
        """The run of one seed, which goes on where it was stopped."""
        return replace(self.config, seed=seed, name=f"{self.name}-seed{seed}", resume=True)


def name_changes(base: TrainConfig, config: TrainConfig) -> str:
    """What a configuration changes of another one, as a folder's name: "num_layers6-hops1", "default" if nothing.

    A field goes by the last part of its name unless another field that a setting may change ends with the same; those
    of `variety` go by their whole names, so that the others keep what they were called before there was variety.
    """
    before, after = flat_config(base), flat_config(config)
    endings = Counter(name.rpartition(".")[2] for name in before if not _SHARED.fullmatch(name))
    endings.subtract(name.rpartition(".")[2] for name in before if name.startswith(_LATER))
    parts = []
    for name, value in after.items():
        if value != before[name]:
            ending = name.rpartition(".")[2]
            whole = endings[ending] > 1 or name.startswith(_LATER)
            parts.append((name if whole else ending) + _as_text(value))
    found = re.sub(r"[^\w.]+", "-", "-".join(parts), flags=re.ASCII).strip("-.")
    if len(found) > _LONGEST_NAME:
        found = f"{found[:_LONGEST_NAME]}-{config_digest(found)}"
    return found or DEFAULT


def read_settings(texts: Sequence[str], base: TrainConfig) -> tuple[Setting, ...]:
    """The default setting, then those of `--settings`.

    Args:
        texts: "LABEL: FIELD=VALUE FIELD=VALUE": dotted names of the fields of `TrainConfig`, values of the fields'
            types, those of tuples separated by commas.
        base: what they change.

    Raises:
        ValueError: a text is not of this form, a field is unknown, or one that all settings share, a value is refused,
            or two settings are the same or have the same label; the message says which.
    """
    found = [Setting(DEFAULT, base, DEFAULT)]
    for text in texts:
        label, colon, rest = text.partition(":")
        label, changes = label.strip(), rest.split()
        if not colon or not label or "=" in label or not changes:
            raise ValueError(f"settings: expected LABEL: FIELD=VALUE ..., found {text!r}")
        config = base
        for change in changes:
            config = _changed(config, label, change)
        setting = Setting(label, config, name_changes(base, config))
        for other in found:
            if label == other.label:
                raise ValueError(f"settings: {label}: expected labels that differ, found two of these")
            if setting.name == other.name:
                raise ValueError(f"settings: {label}: expected another setting than {other.label!r}, found the same")
        found.append(setting)
    return tuple(found)


def _changed(config: TrainConfig, label: str, change: str) -> TrainConfig:
    """The configuration with one field changed by FIELD=VALUE."""
    name, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"settings: {label}: expected FIELD=VALUE, found {change!r}")
    names = [known for known in flat_config(config) if not _SHARED.fullmatch(known)]
    if name not in names:
        shared = " (all settings share it)" if name in flat_config(config) else ""
        raise ValueError(f"settings: {label}: expected one of {', '.join(names)}; found {name!r}{shared}")
    try:
        return _replaced(config, name.split("."), text)
    except ValueError as error:
        raise ValueError(f"settings: {label}: {error}") from None


def _replaced(config: Any, path: Sequence[str], text: str) -> Any:
    """A dataclass with the field of a path changed to the value that a text stands for."""
    name, *inner = path
    if inner:
        return replace(config, **{name: _replaced(getattr(config, name), inner, text)})
    changed = replace(config, **{name: _as_value(typing.get_type_hints(type(config))[name], text)})
    check_choices(changed)  # not every configuration does this itself
    return changed


def _as_value(hint: Any, text: str) -> Any:
    """A text as a value of a type; as it is where it stands for none, for the configuration's own check to refuse."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return next((option for option in options if str(option) == text), text)
    if origin in (typing.Union, types.UnionType):
        if type(None) in options and text == "None":
            return None
        values = (_as_value(option, text) for option in options if option is not type(None))
        return next((value for value in values if not isinstance(value, str)), text)
    if origin is tuple:
        return tuple(_as_value(options[0], part) for part in text.split(",")) if text else ()
    if hint is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if hint in (int, float, Path):
        try:
            return hint(text)
        except ValueError:
            return text
    return text


def _as_text(value: Any) -> str:
    """A value as it stands behind its field's name: numbers next to it, all else after a dash."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, tuple):
        return "-" + ("-".join(map(str, value)) or "none")
    return f"-{value}"
