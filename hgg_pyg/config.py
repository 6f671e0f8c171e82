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
from typing import Annotated, Any, Literal, TypeVar

Config = TypeVar("Config")


@dataclass(frozen=True)
class Bounds:
    """What a number of a configuration may be, never a NaN: `Annotated[int, Bounds(1, 10)]` is a field's type.

    A largest number is beyond what any machine or data has, so that a slip of the pen ends where it is read.
    """

    least: float
    most: float
    above: bool = False  # `least` itself is refused
    below: bool = False  # `most` itself is refused

    def wrong(self, value: float) -> str | None:
        """What was expected of a value, None if it is right."""
        least, most = (f"{x:,}" if isinstance(x, int) else f"{x:g}" for x in (self.least, self.most))
        if value != value:
            return f"a number from {least} to {most}"
        if value < self.least or (self.above and value == self.least):
            return f"{'more than' if self.above else 'at least'} {least}"
        if value > self.most or (self.below and value == self.most):
            return f"{'less than' if self.below else 'at most'} {most}"
        return None


Pixels = Annotated[int, Bounds(1, 65_535)]  # a side of an image; no JPEG file has a longer one
ViewCount = Annotated[int, Bounds(1, 10_000)]  # cameras, or images at once: no studio has as many
FrameCount = Annotated[int, Bounds(1, 1_000_000)]  # of a subject, or of a clip: nine hours of video
SubjectCount = Annotated[int, Bounds(1, 1_000_000)]  # two hundred times the largest data set
Steps = Annotated[int, Bounds(1, 10**9)]  # three years at ten a second; the history of them would fill a memory
Repeats = Annotated[int, Bounds(1, 10**6)]  # of a measurement, or of clips in one step
Processes = Annotated[int, Bounds(1, 10_000)]  # or threads, of one machine
Seed = Annotated[int, Bounds(0, 2**63 - 1)]  # as torch takes it
Share = Annotated[float, Bounds(0, 1)]
Degrees = Annotated[float, Bounds(0, 90)]  # by which a pose is off: with more nobody stands
Seconds = Annotated[float, Bounds(0, 1e6, above=True)]  # of a fit; eleven days
Weight = Annotated[float, Bounds(0, 1e7)]  # beside a weight of 1, float32 keeps nothing of what this outweighs
LearningRate = Annotated[float, Bounds(0, 1e7, above=True)]  # by which AdamW moves weights of about 1
Channels = Annotated[int, Bounds(1, 8192)]  # 64 times the paper's: six layers of them are trained in 40 GB
Layers = Annotated[int, Bounds(0, 1000)]  # ten times as many as any network like ours has
Hops = Annotated[int, Bounds(1, 1000)]  # no body's mesh is as far across
VertexCount = Annotated[int, Bounds(1, 10**7)]  # a thousand times SMPL-X's
GaussianCount = Annotated[int, Bounds(1, 10**9)]  # 56 GB without features


CHOICES = ("even", "heading")  # of frames, see `hgg_pyg.data.choosing`


@dataclass(frozen=True)
class ClipConfig:
    """What one training clip holds."""

    frames: FrameCount = 8
    """T, frames whose Gaussians are joined in one graph"""
    input_views: ViewCount = 4
    """cameras whose images the per-frame network sees, spread evenly around the person; 1: a single camera, see
    docs/monocular.md"""
    choose: str = "even"
    """which frames are joined: even, spread evenly over the sequence; heading, those that together show the person from
    all sides; or module:NAME of yours"""
    target_views: ViewCount = 8
    """images that supervise one clip: half from input cameras, half from the others"""
    target_poses: ViewCount = 2
    """frames over which the supervised images are spread"""
    pose_noise: Degrees = 0.0
    """degrees by which joints of the input frames are off in the worst clips, standard deviation; drawn for each clip:
    anew in each frame, smooth in time, the same in all frames, and a wrong shape (images are compared by true poses)"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.choose not in CHOICES and ":" not in self.choose:
            known = ", ".join(CHOICES)
            raise ValueError(f"ClipConfig.choose: expected one of {known}, or module:NAME, found {self.choose!r}")
        if self.target_views % self.target_poses:
            raise ValueError(
                f"ClipConfig.target_views: expected a multiple of target_poses {self.target_poses}, "
                f"found {self.target_views}"
            )


def check_choices(config: Any) -> None:
    """Refuse values that are not of their field's type or out of its bounds; of choices, the right ones are listed.

    What `__post_init__` of a configuration dataclass calls first, so that a wrong value ends here wherever it came
    from: Python, a command line or a file.

    Raises:
        ValueError: the field, what was expected and what was found.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        expected = _out_of_bounds(value, hint) if _fits(value, hint) else _described(hint)
        if expected is not None:
            raise ValueError(f"{type(config).__name__}.{field.name}: expected {expected}, found {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text):,} characters)"


def _out_of_bounds(value: Any, hint: Any) -> str | None:
    """What was expected of a value that is of its type, None if it is within the bounds."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        said = [extra.wrong(value) for extra in options[1:] if isinstance(extra, Bounds)]
        return next(filter(None, [*said, _out_of_bounds(value, options[0])]), None)
    if origin in (typing.Union, types.UnionType):
        return _out_of_bounds(value, next(option for option in options if _fits(value, option)))
    if origin is tuple:
        kinds = (options[0],) * len(value) if options[-1] is Ellipsis else options
        said = map(_out_of_bounds, value, kinds)
        return next((f"each {found}" for found in said if found), None)
    return None


def _fits(value: Any, hint: Any) -> bool:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _fits(value, options[0])
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
    if origin is Annotated:
        return _described(options[0])
    if origin is Literal:
        return "one of " + ", ".join(map(str, options))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_described, options))
    if origin is tuple:
        return f"a tuple of {_described(options[0])}"
    return {type(None): "nothing", int: "an integer", float: "a number", str: "a text", bool: "True or False"}.get(
        hint, getattr(hint, "__name__", str(hint))
    )


def check_heads(heads: int, channels: int) -> None:
    """Refuse a number of attention heads that does not divide the channels.

    Raises:
        ValueError: it does not.
    """
    if channels % heads:
        raise ValueError(f"heads: expected a divisor of hidden_channels {channels}, found {heads}")


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
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
