"""What a run does when it diverges, and with damaged states."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from hgg_pyg.io.states import load_state, save_state
from hgg_pyg.training.checkpoint import CHECKPOINT_FILE
from hgg_pyg.training.curves import CURVES_FILE
from hgg_pyg.training.run import RunConfig, create_run, find_checkpoint
from hgg_pyg.types import NotFiniteError, UserError
from tests.training.nothing import Nothing


@pytest.fixture
def without_curves(monkeypatch):
    monkeypatch.setattr("hgg_pyg.training.loop.save_curves", lambda path, history: None)


class Diverging(Nothing):
    """Becomes `found` in the second item of a step, 0 at first."""

    def __init__(self, config: RunConfig, step: int, found: float | Exception, at_once: int = 1) -> None:
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=config.accumulation)
        torch.manual_seed(0)
        super().__init__(config, accelerator, torch.nn.Linear(at_once, 1, bias=False), "item")
        self.diverging_step, self.found, self.items = step, found, 0

    def loss(self, item: int) -> tuple[Tensor, Tensor]:
        self.items += 1
        loss, quality = super().loss(item)
        if self.items == 2 * self.diverging_step + 2:
            if isinstance(self.found, Exception):
                raise self.found
            loss = loss + self.found  # with a gradient that is finite
        return loss, quality


@pytest.fixture
def config(tmp_path) -> RunConfig:
    config = RunConfig(out=tmp_path, name="run", steps=8, accumulation=2, checkpoint_every=2, resume=True)
    create_run(config)
    return config


@pytest.mark.parametrize(
    ("found", "said", "step", "kept"),
    [
        (np.nan, "a loss of nan", 5, 4),
        (np.inf, "a loss of inf, a gradient of norm", 4, 2),
        (NotFiniteError("render: Gaussians.means holds 3 NaN"), "render: Gaussians.means holds 3 NaN", 1, None),
    ],
)
def test_a_diverged_run_keeps_the_last_state_that_was_good(config, without_curves, found, said, step, kept):
    """The state after step 4 is saved once step 5 has been good: that of step 4 when step 5 diverges is that of 2."""
    loop = Diverging(config, step, found)
    unbroken = Diverging(replace(config, name="unbroken"), 99, found)
    unbroken.run()
    holds = "nothing was saved yet" if kept is None else f"checkpoint.pt holds step {kept}"
    with pytest.raises(UserError, match=rf"run: step {step + 1}: expected a finite loss .*{said}.*{holds}.*--lr below"):
        loop.run()
    assert len(loop.history) == step
    assert loop.model.weight.isfinite().all()
    checkpoint = find_checkpoint(config)
    assert (checkpoint.step if checkpoint else None) == kept
    going_on = Diverging(config, 99, found)  # where the same arithmetic is good, it goes on to the same end
    going_on.run_from(checkpoint)
    assert torch.equal(going_on.model.weight, unbroken.model.weight)
    assert going_on.history == unbroken.history


def test_weights_that_are_not_finite_are_never_saved(config, without_curves):
    loop = Diverging(config, 99, 0.0)
    loop.run()
    before = (config.folder / CHECKPOINT_FILE).read_bytes()
    loop.model.weight.data.fill_(torch.inf)
    with pytest.raises(UserError, match=r"checkpoint\.pt: weight: expected finite weights to save, found NaN or infin"):
        loop.save()
    assert (config.folder / CHECKPOINT_FILE).read_bytes() == before


def test_a_validation_that_is_not_finite_ends_a_run(config, without_curves, monkeypatch):
    def validate(self):
        raise NotFiniteError("render: Gaussians.scales holds 1 NaN")

    monkeypatch.setattr(Diverging, "validate", validate)
    with pytest.raises(UserError, match=r"step 8: .*Gaussians\.scales holds 1 NaN; .*holds step 6"):
        Diverging(config, 99, 0.0).run()


def replaced(path: tuple, value):
    """A change of a state at a path of keys."""

    def change(state) -> None:
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value(state[path[-1]]) if callable(value) else value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced(("model", "weight"), torch.zeros(1, 2)), r"weight: expected \(1, 1\) of float32, found \(1, 2\) of "),
        (replaced(("model", "weight"), Tensor.int), r"weight: expected .* of float32, found .* of int32"),
        (replaced(("model", "weight"), Tensor.half), r"weight: expected .* of float32, found .* of float16"),
        (replaced(("model", "weight"), torch.full((1, 1), torch.nan)), "weight: expected finite weights, found NaN"),
        (replaced(("model",), lambda model: {"w": model["weight"]}), r"w: expected no such weight, found \(1, 1\)"),
        (
            replaced(("model",), []),
            r"expected a checkpoint of this program \(model: expected values by name, found list",
        ),
        (replaced(("optimizer", "state"), {}), "optimizer: expected the averages of 8 steps, found none"),
        (replaced(("optimizer", "state", 5), {}), "optimizer: expected weights among 1, found number 5"),
        (
            replaced(("optimizer", "state", 0, "exp_avg"), torch.zeros(2, 2)),
            r"optimizer: exp_avg of weight 0: expected finite numbers \(1, 1\), found \(2, 2\)",
        ),
        (replaced(("optimizer", "state", 0, "exp_avg_sq"), torch.full((1, 1), torch.inf)), "exp_avg_sq of weight 0"),
        (replaced(("optimizer", "param_groups", 0, "params"), [0, 1]), "a state of 1 weights, found 2"),
        (replaced(("optimizer", "param_groups"), []), "a state of 1 weights, found 0"),
        (replaced(("optimizer",), {}), r"expected states of .* \(KeyError"),
        (replaced(("scheduler", "total_steps"), 100), "scheduler: expected a schedule of 9 steps, found 100"),
        (replaced(("scheduler", "last_epoch"), 3), "scheduler: expected it after step 8, found 3"),
        (replaced(("scheduler",), {}), "scheduler: expected a schedule of 9 steps, found None"),
        (replaced(("history",), lambda history: history[:-1]), "found step 8 after a history of 7 steps"),
        (replaced(("history",), lambda history: history[1:]), "expected every step up to the last in its history"),
        (replaced(("history",), lambda history: [record[:2] for record in history]), "expected a checkpoint of this"),
        (replaced(("step",), 7), "found step 7 after a history of 8 steps"),
        (replaced(("settings", "lr"), 0.5), "config.json: lr: expected 0.5, found 0.002: it is not the one that check"),
        (replaced(("settings",), []), "expected a checkpoint of this program"),
        (lambda state: state.pop("settings"), "expected a checkpoint of this program"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_before_a_step(config, finished, change, message):
    state = deepcopy(finished)
    change(state)
    save_state(config.folder / CHECKPOINT_FILE, state)
    loop = Diverging(config, 99, 0.0)
    with pytest.raises(UserError, match=message) as caught:
        loop.run_from(find_checkpoint(config))
    assert "\n" not in str(caught.value)
    assert loop.items == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What the checkpoint of a run of eight steps holds."""
    config = RunConfig(out=tmp_path_factory.mktemp("runs"), name="run", steps=8, accumulation=2, resume=True)
    Diverging(config, 99, 0.0).run()
    return load_state(config.folder / CHECKPOINT_FILE)


def test_files_that_are_no_checkpoints_are_refused(config, without_curves):
    Diverging(config, 99, 0.0).run()
    path = config.folder / CHECKPOINT_FILE
    content, state = path.read_bytes(), load_state(path)
    for damage in (b"", content[:10], content[:-1], content[: len(content) // 2], content + b"x"):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"checkpoint\.pt: expected a checkpoint of this program"):
            find_checkpoint(config)
    torch.save(state, path)  # as earlier versions did
    with pytest.raises(UserError, match="its digest at the end, found none: it is damaged, or of an earlier version"):
        find_checkpoint(config)
    save_state(path, [state])  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="expected a checkpoint of this program, found list"):
        find_checkpoint(config)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"checkpoint\.pt: expected a checkpoint of this program .*directory"):
        find_checkpoint(config)


def test_curves_that_cannot_be_written_end_a_run_before_a_step(config):
    Diverging(replace(config, checkpoint_every=99), 99, 0.0).run()
    checkpoint, curves = find_checkpoint(config), config.folder / CURVES_FILE
    curves.unlink()
    curves.mkdir()
    loop = Diverging(config, 99, 0.0)
    with pytest.raises(UserError, match=r"curves\.png: expected a folder that can be written.*Is a directory"):
        loop.run_from(checkpoint)
    assert loop.items == 0
    curves.rmdir()
    curves.write_bytes(b"broken")
    loop.run_from(checkpoint)
    assert curves.read_bytes().startswith(b"\x89PNG")
