"""Fine-tuning LGM on tiny captures: what a run leaves, that it goes on exactly, that it learns, and wrong inputs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hgg_pyg import finetune
from hgg_pyg import train as train_command
from hgg_pyg.backbones import BackboneConfig, LGMConfig
from hgg_pyg.backbones.lgm import LGM, PRESETS, LGMBackbone
from hgg_pyg.backbones.lgm.augment import AugmentConfig
from hgg_pyg.backbones.lgm.cameras import lgm_frame
from hgg_pyg.backbones.lgm.network import Predicted
from hgg_pyg.config import ClipConfig
from hgg_pyg.data import FrameSource, open_captures
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.finetuning.scores import TASKS
from hgg_pyg.finetuning.tuner import CameraSplit, ViewLoader, surface_distance
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.claim import claimed
from hgg_pyg.training.run import TrainConfig, read_config
from hgg_pyg.types import UserError


@pytest.fixture
def config(tiny_captures: Path, tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(
        data=tiny_captures,
        name="tiny",
        out=tmp_path / "runs",
        size=32,
        target_size=32,
        steps=4,
        accumulation=1,
        checkpoint_every=2,
        validate_every=2,
        test_frames=2,
    )


def weights_of(config: FinetuneConfig) -> dict[str, torch.Tensor]:
    return LGMBackbone(LGMConfig(config.folder / finetune.WEIGHTS_FILE)).network.state_dict()


@pytest.mark.slow
def test_a_run_leaves_weights_that_train_takes(config: FinetuneConfig, capsys, tmp_path) -> None:
    finetune.main(replace(config, batch=2, accumulation=2, surface=0.4))
    names = {path.name for path in config.folder.iterdir()}
    assert names == {"config.json", "git.txt", "inputs.json", "checkpoint.pt", "lgm.safetensors", "metrics.json",
                     "curves.png", "sheet.png", "tensorboard"}  # fmt: skip
    assert "held-out cameras" in capsys.readouterr().out
    metrics = json.loads((config.folder / "metrics.json").read_text())
    assert set(metrics["summary"]) == set(TASKS)
    assert {score["images"] for score in metrics["scores"]} == {2 * 2, 2 * 4}  # six cameras, four of them input
    assert read_config(config.folder, FinetuneConfig).surface == 0.4
    backbone = BackboneConfig("lgm", lgm=LGMConfig(config.folder / "lgm.safetensors"))
    train_command.main(
        TrainConfig(
            data=config.data,
            name="on_lgm",
            out=tmp_path / "runs",
            cache=tmp_path / "cache",
            steps=1,
            accumulation=1,
            model=ModelConfig(num_layers=1, hidden_channels=8, heads=2),
            clip=ClipConfig(frames=2, target_views=4, target_poses=2),
            backbone=backbone,
        )
    )
    assert (tmp_path / "runs" / "on_lgm" / "metrics.json").is_file()


@pytest.mark.slow
@one_thread()  # fewer than the process was started with: the thread that loads must keep to it from its first item on
def test_a_run_that_went_on_is_one_that_never_stopped(config: FinetuneConfig, monkeypatch) -> None:
    finetune.main(config)
    stopped = replace(config, name="stopped")

    class Power(Exception):
        pass

    original = finetune.Tuner.loss
    calls = []

    def loss(self, item):
        calls.append(1)
        if len(calls) == 4:
            raise Power
        return original(self, item)

    monkeypatch.setattr(finetune.Tuner, "loss", loss)
    with pytest.raises(Power):
        finetune.main(stopped)
    assert Checkpoint.load(stopped.folder).step == 2
    finetune.main(replace(stopped, resume=True))
    whole, parts = weights_of(config), weights_of(stopped)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    with pytest.raises(UserError, match=r"config\.json: size: the run has 32, the command line says 64"):
        finetune.main(replace(stopped, resume=True, size=64))


@pytest.mark.slow
def test_it_learns(config: FinetuneConfig) -> None:
    """On the very person that it is trained on, from cameras of every side."""
    config = replace(config, steps=60, checkpoint_every=60, validate_every=60, augment=AugmentConfig(0, 0))
    finetune.main(config)
    history = Checkpoint.load(config.folder).history
    first = sum(record.loss for record in history[:5])
    assert sum(record.loss for record in history[-5:]) < 0.5 * first
    started = finetune.start_network(config)
    moved = weights_of(config)
    for name, weight in started.state_dict().items():  # everything takes part
        assert not torch.equal(weight, moved[name]), name


def test_surface_distance() -> None:
    means = torch.tensor([[[0.0, 0, 0], [0.2, 0, 0], [0, 0.9, 0]]]).repeat(1, 5, 1).requires_grad_()
    opacities = torch.full((1, 15), 0.1)
    opacities[0, :2] = torch.tensor([0.9, 0.8])  # two of fifteen count: the first at a vertex, the other 0.1 off
    blank = torch.zeros(1, 15, 3)
    predicted = Predicted(means, opacities, blank, blank, blank, blank, blank)
    vertices = torch.tensor([[[0.0, 0, 0], [0.3, 0, 0]]])
    distance = surface_distance(predicted, vertices)
    torch.testing.assert_close(distance, torch.tensor(0.5))
    distance.backward()
    torch.testing.assert_close(means.grad[0, 1], torch.tensor([-15.0, 0, 0]))
    assert means.grad[0, 2:].abs().max() == 0


def test_what_is_compared_is_not_augmented(config: FinetuneConfig, body) -> None:
    """Augmentation changes the input of views 1 to 3 and nothing else."""
    import numpy as np

    subject = CameraSplit.of(open_captures(config.captures, 32).train[0])
    loader = ViewLoader(config, LGM(PRESETS["micro"]), body)
    plain = loader.read(subject, 1, subject.others)
    bent = loader.read(subject, 1, subject.others, AugmentConfig(1, 1), np.random.default_rng(0))
    assert torch.equal(plain.rgb, bent.rgb)
    assert torch.equal(plain.anchors, bent.anchors)
    assert torch.equal(plain.inputs[:, 0], bent.inputs[:, 0])
    for channels in (slice(0, 3), slice(3, 6), slice(6, 9)):
        assert not torch.equal(plain.inputs[:, 1:, channels], bent.inputs[:, 1:, channels])
    assert set(subject.inputs).isdisjoint(subject.others)


def test_training_shows_the_network_what_the_backbone_shows_it(config: FinetuneConfig, body, tmp_path) -> None:
    """The same Gaussians come out, up to the frame they are given in."""
    network = LGM(PRESETS["micro"]).eval().requires_grad_(False)
    finetune.save_lgm(network, "micro", config.size, tmp_path / "lgm.safetensors")
    capture = open_captures(config.captures, 32).train[0]
    subject = CameraSplit.of(capture)
    views = ViewLoader(config, network, body).read(subject, 1, subject.others)
    predicted = network(views.inputs, views.anchors)
    backbone = LGMBackbone(LGMConfig(tmp_path / "lgm.safetensors"))
    source = FrameSource(capture, subject.inputs, backbone, body, tmp_path / "cache")
    gaussians = source.predict(1)
    vertices = body.pose(capture.poses[[1]]).vertices[0]
    frame = lgm_frame(vertices, capture.cameras[list(subject.inputs)])
    torch.testing.assert_close(frame.points_to_lgm(gaussians.means), predicted.means[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(gaussians.colors, predicted.colors[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(frame.points_to_lgm(vertices), views.vertices[0])


def test_wrong_inputs(config: FinetuneConfig, tmp_path) -> None:
    with pytest.raises(UserError, match="expected LGM's weights, found no such file"):
        finetune.main(replace(config, checkpoint=tmp_path / "none.safetensors"))
    finetune.save_lgm(LGM(PRESETS["micro"]), "micro", 32, tmp_path / "micro.safetensors")
    with pytest.raises(UserError, match=r"micro.safetensors: \d+ weights are not those of preset tiny"):
        finetune.main(replace(config, checkpoint=tmp_path / "micro.safetensors", preset="tiny"))
    for wrong in ({"size": 40}, {"batch": 0}, {"surface": -1.0}, {"target_size": 4}):
        with pytest.raises(ValueError, match="expected"):
            replace(config, **wrong)
    assert not config.folder.exists()
    with claimed(config.folder), pytest.raises(UserError, match="expected a run that no command works on, found"):
        finetune.main(config)
