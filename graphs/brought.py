"""Functions of a researcher's own, by "some.module:function"."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Any


def brought_function(name: str, why: str) -> Callable[..., Any]:
    """The function of any module.

    Args:
        name: "some.module:function".
        why: what is wrong with a name that is nothing of this form.

    Raises:
        ValueError: what is wrong, without the name.
    """
    module, _, path = name.partition(":")
    if not (module and path):
        raise ValueError(why)
    try:
        function = pkgutil.resolve_name(name)
    except (Exception, SystemExit) as error:  # a module of somebody else's may fail in any way
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not callable(function):
        raise ValueError(f"{function!r} is no function")
    return function
