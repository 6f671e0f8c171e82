"""Synthetic captures without the processes that `synthesize` starts: importing takes them longer than their work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hgg_pyg.avatar.motions import Clip
from hgg_pyg.body import load_body
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.synthetic import SynthesizeConfig, dataset, synthesize
from hgg_pyg.synthetic.capture_writer import write_subject


def make_captures(config: SynthesizeConfig) -> Path:
    """`synthesize`, all of it in this process; that other processes write the same, `tests/synthetic` shows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "_write_all", _write_here)
        return synthesize(config)


def _write_here(config: SynthesizeConfig, indices: list[int], clips: list[Clip]) -> Iterator[int]:
    written: list[int] = []
    with one_thread():  # as the processes have
        body = load_body()
        for index in indices:
            write_subject(config, index, body, written.append, clips)
    yield sum(written)
