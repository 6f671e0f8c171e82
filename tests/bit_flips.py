"""Flipped bits: what a reader makes of a file with one wrong bit, at random places."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.types import UserError


def flip_bits(
    path: Path, read: Callable[[], Any], same: Callable[[Any], bool], flips: int, seed: int = 0
) -> Counter[str]:
    """Read a file with one wrong bit, `flips` times; the file is as before afterwards.

    Args:
        path: the file.
        read: what reads it.
        same: whether what was read is right.
        flips: number of places.
        seed: of the places.

    Returns:
        counts of "refused" (a UserError of one line), "same" (the right content was read) and "wrong".
    """
    content, rng, outcomes = path.read_bytes(), np.random.default_rng(seed), Counter[str]()
    for place in rng.choice(8 * len(content), flips, replace=flips > 8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            outcomes["same" if same(read()) else "wrong"] += 1
        except UserError as error:
            outcomes["refused" if "\n" not in str(error) else "wrong"] += 1
        finally:
            path.write_bytes(content)
    return outcomes
