"""Frames without a person go through all commands alike: they are left out and counted, and nothing ends."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from hgg_pyg import finetune, precompute
from hgg_pyg import inspect as inspect_command
from hgg_pyg import train as train_command
from hgg_pyg.config import ClipConfig
from hgg_pyg.data.frames import FrameSource, compute_missing
from hgg_pyg.evaluate import EvaluateConfig
from hgg_pyg.evaluate import main as evaluate_main
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.finetuning.tuner import CameraSplit, Tuner
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.precompute import PrecomputeConfig
from hgg_pyg.training.run import Checkpoint, TrainConfig
from hgg_pyg.types import UserError
from tests.blackened import blacken, blackened

TOLD = "1 frame left out: the masks of its input cameras show nobody where the body is (0)"


@pytest.fixture
def data(tiny_captures, tmp_path):
    """Three subjects of 4 frames, one for each split; nobody is in the first, which every evaluation starts from."""
    return blackened(tiny_captures, tmp_path / "data", {0})


@pytest.fixture
def config(data, tmp_path) -> TrainConfig:
    return TrainConfig(
        data=data,
        out=tmp_path / "runs",
        cache=tmp_path / "cache",
        steps=2,
        validate_every=1,
        model=ModelConfig(num_layers=1, hidden_channels=8, heads=2, feedback=1),
        clip=ClipConfig(frames=2, target_views=4, target_poses=2),
    )


@pytest.mark.slow
def test_from_training_to_looking_into_a_run(config, said, capsys):
    train_command.main(config)
    told = [f"subject00{i}: {TOLD}" for i in range(3)]
    assert [text for text in said.messages if "left out: the" in text] == told
    assert [record.val_psnr is not None for record in Checkpoint.load(config.folder).history] == [True, True]
    said.clear()
    report = evaluate_main(EvaluateConfig(config.folder))
    assert told[2] in report.notes
    assert [text for text in said.messages if "left out: the" in text] == [told[2]]
    assert {image.frame for image in report.images if image.task == "novel view"} == {1, 2}
    assert {image.frame for image in report.images if image.task == "novel pose"} == {3}
    inspect_command.main(inspect_command.InspectConfig(config.folder))
    assert "input frames (t0 is frame 1)" in capsys.readouterr().out
    for subject in config.captures.iterdir():
        blacken(subject, {1, 2, 3})
    for work in (
        lambda: train_command.main(replace(config, name="nobody")),
        lambda: evaluate_main(EvaluateConfig(config.folder)),
        lambda: inspect_command.main(inspect_command.InspectConfig(config.folder)),
    ):
        with pytest.raises(
            UserError, match=r"subject00[02]: expected a frame that can be used, found none: 4 frames left"
        ):
            work()
    assert not (config.out / "nobody").exists()


def test_precomputing_alone_and_in_two_processes(data, tmp_path, said, monkeypatch):
    precompute.main(PrecomputeConfig(data=data, cache=tmp_path / "cache"))
    assert said.messages[3:] == [f"subject00{i}: {TOLD}" for i in range(3)]
    assert "about 0 Gaussians" not in said.messages[1]
    stored = {path.name for path in (tmp_path / "cache").iterdir()}
    shares: list[FrameSource] = []
    monkeypatch.setattr(precompute, "compute_missing", lambda sources, share: shares.extend(sources) or 0)
    monkeypatch.setattr(precompute, "some_usable", lambda sources: None)
    monkeypatch.setattr(precompute, "summary", lambda *_: "")
    precompute.main(PrecomputeConfig(data=data, cache=tmp_path / "shared"))
    assert [compute_missing(shares, (i, 2)) for i in (0, 1)] == [4, 4]  # and four to see how long it takes
    assert {path.name for path in (tmp_path / "shared").iterdir()} == stored
    for path in (tmp_path / "cache").rglob("*.safetensors"):
        other = tmp_path / "shared" / os.path.relpath(path, tmp_path / "cache")
        assert path.read_bytes() == other.read_bytes()


@pytest.fixture
def tuning(data, tmp_path) -> FinetuneConfig:
    return FinetuneConfig(
        data=data, out=tmp_path / "runs", size=32, target_size=32, steps=3, validate_every=1, test_frames=3, batch=2
    )


@pytest.mark.slow
def test_fine_tuning(tuning, said, monkeypatch):
    drawn = []
    original = Tuner.load

    def load(self, rng):
        views = original(self, rng)
        drawn.extend(float(alpha.max()) for alpha in views.alpha)
        return views

    monkeypatch.setattr(Tuner, "load", load)
    finetune.main(tuning)
    assert len(drawn) == 6
    assert min(drawn) > 0.5
    told = [text for text in said.messages if "left out: the" in text]
    assert set(told) == {f"subject00{i}: {TOLD}" for i in range(3)}
    assert len(told) == 3
    blacken(tuning.captures / "subject000", {1, 2, 3})
    with pytest.raises(
        UserError, match="subject000: expected a frame that can be used in a training subject, found none"
    ):
        finetune.main(replace(tuning, name="nobody"))


def test_every_other_frame_is_as_likely_as_before(tuning, tiny_captures, body, monkeypatch):
    """Until a frame without a person is drawn, draws are those of captures without such frames."""
    from accelerate import Accelerator

    from hgg_pyg.data import open_captures

    frames: list[int] = []

    def read(self, subject, frame, targets, augmentation, rng):
        frames.append(frame)
        return None if frame in lost else object()

    monkeypatch.setattr("hgg_pyg.finetuning.tuner.ViewLoader.read", read)
    network, captures = finetune.start_network(tuning), open_captures(tiny_captures, 32, body).train
    draws = {}
    for lost in ((), (0,), (0, 1, 2, 3)):
        tuner = Tuner(tuning, Accelerator(cpu=True), network, body, captures, ())
        assert tuner.train_subjects == [CameraSplit.of(capture) for capture in captures]
        generator = tuner._draw(np.random.default_rng(0))
        frames.clear()
        if len(lost) == 4:
            with pytest.raises(UserError, match="found none"):
                next(generator)
        else:
            for _ in range(50):
                next(generator)
        draws[lost] = list(frames)
    assert draws[0,][: len(draws[()])] == draws[()]
    counts = torch.tensor(draws[0,]).bincount()
    assert counts[1:].sum() == 50
    assert counts.min() > 5
