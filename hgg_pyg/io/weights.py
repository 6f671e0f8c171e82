"""Names of weights without what training programs put around them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

Weight = TypeVar("Weight")

# What DistributedDataParallel, torch.compile, FSDP and activation checkpointing call the module that they hold.
_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# What trainers call the network among other things that they save.
_PLACES = ("state_dict", "model_state_dict", "model", "net", "network", "ema", "ema_model", "params_ema", "params")


def own_names(found: Mapping[str, Weight], expected: Collection[str]) -> dict[str, Weight]:
    """Weights by the names that the network itself has for them.

    `module.`, `_orig_mod.` and their like are taken out wherever they stand, `model.`, `state_dict.`, `ema.` and their
    like from the beginning of names where all have it. Names that the network has stay as they are, and so do all of
    them where two would become one.

    Args:
        found: by the names in a file.
        expected: names of the network's weights.
    """
    known = set(expected)
    names = {name: name if name in known else _bare(name, known) for name in found}
    while names and not known & set(names.values()):
        heads = {name.partition(".")[0] for name in names.values()}
        if len(heads) > 1 or not heads <= set(_PLACES):
            break
        names = {name: bare.partition(".")[2] for name, bare in names.items()}
    if len(set(names.values())) < len(names):
        return dict(found)
    return {names[name]: weight for name, weight in found.items()}


def innermost(content: Any) -> Any:
    """The weights in what a trainer saved: those in its entry `state_dict`, `model`, `ema` or the like.

    Only where it is clear which: with several such entries of weights, or none, the content itself.
    """
    while isinstance(content, Mapping):
        inside = [content[place] for place in _PLACES if isinstance(content.get(place), Mapping)]
        if len(inside) != 1:
            break
        content = inside[0]
    return content


def _bare(name: str, known: set[str]) -> str:
    parts = name.split(".")
    bare = ".".join(part for part in parts if part not in _WRAPPERS)
    return bare if bare else name
