"""What calls of functions under torch.compile have in common here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

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
