"""A worker that is no process: the commands' own work is the same, and what is patched here reaches it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from benchmarks import attention, claim, layers, render


class InlineWorker:
    """Calls functions in this process, under the name of one setting."""

    def __init__(self, setting: str) -> None:
        self.setting = setting

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None

    def renew(self) -> None:
        """There is no process to start again."""

    def call_within(self, limit_s: float, function: Callable[..., Any], *args: Any) -> Any:
        return self.call(function, *args)


@pytest.fixture
def inline_workers(monkeypatch) -> list[InlineWorker]:
    """Both settings, in this process."""
    workers = [InlineWorker("default"), InlineWorker("tuned")]

    @contextmanager
    def start(device: str, threads: int) -> Iterator[list[InlineWorker]]:
        yield workers

    for module in (attention, layers, claim, render):
        monkeypatch.setattr(module, "start_workers", start)
    monkeypatch.setattr("benchmarks.timing._SAMPLE_S", 1e-4)
    monkeypatch.setattr("gc.collect", lambda: 0)  # takes longer than all that is measured here
    return workers


@pytest.fixture(autouse=True)
def _like_a_worker(monkeypatch):
    monkeypatch.setattr("gc.freeze", lambda: None)  # this process goes on
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
