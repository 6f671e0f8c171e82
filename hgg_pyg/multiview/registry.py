"""Which fronts there are: each file of fronts/, and yours by "module:NAME"."""

from __future__ import annotations

from functools import cache

import torch

from hgg_pyg.avatar.brought import brought, missing_packages, offered
from hgg_pyg.io.shown import shown
from hgg_pyg.multiview.base import Front, FrontConfig, FrontKind
from hgg_pyg.types import UserError


@cache
def fronts() -> dict[str, FrontKind]:
    """Our fronts by name."""
    return offered("hgg_pyg.multiview.fronts", "FRONT", FrontKind)


def make_front(config: FrontConfig, device: torch.device | str = "cpu") -> Front | None:
    """The front that a configuration names, ready to use; None where it names none.

    Raises:
        UserError: there is none of this name, it cannot be imported or is no front, a package is missing, or its
            weights are missing or of another model.
    """
    if config.name == "none":
        return None
    kind = fronts().get(config.name)
    if kind is None:
        if ":" not in config.name:
            expected = f"none, {', '.join(fronts())}, or module:NAME of a front of yours"
            raise UserError(f"--front: expected {expected}; found {shown(repr(config.name))}")
        kind = brought("--front", config.name, FrontKind, "a FrontKind")
    if missing := missing_packages(kind.requires):
        pip = 'pip install "hgg_pyg[diffusion]"' if config.name in fronts() else f"pip install {' '.join(missing)}"
        raise UserError(f"--front {config.name}: expected {', '.join(missing)}, found none: {pip}")
    return kind.make(config, torch.device(device))
