"""What functions under torch.compile, and those that it must step around, have in common here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., Any])

KINDS = 64
"""kinds of input compiled for, of which torch by itself allows eight: by type, by which inputs have gradients, and by
which sizes are 1 or alike; other sizes are free"""


@contextmanager
def many_kinds() -> Iterator[None]:
    """In this context a compiled function may be compiled for `KINDS` kinds of input."""
    with torch._dynamo.config.patch(cache_size_limit=KINDS), warnings.catch_warnings():
        # Compiling looks at the gradients of its inputs, and torch warns of that where these are not leaves.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf Tensor")
        yield


def untraced(function: Function) -> Function:
    """Let torch.compile step around a function, for it cannot trace the kernels of numba and of torch_scatter."""
    return cast(Function, torch.compiler.disable(function))
