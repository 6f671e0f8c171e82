"""Training a network that corrects poses: noise on them, what is learnt of it, and weights to start from."""

import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from hgg_pyg import train as train_command
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.body import load_body
from hgg_pyg.config import ClipConfig
from hgg_pyg.data import frame_sources, open_captures
from hgg_pyg.data.mending import mended_source
from hgg_pyg.data.pose_images import SIDE, load_pose_images
from hgg_pyg.io.tensors import load_tensors
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.model.poses.stance import Stance
from hgg_pyg.training.losses import LossConfig, pose_loss
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.training.trainer import Trainer, Untold
from hgg_pyg.types import UserError
from tests import python


def small(captures, out):
    return TrainConfig(
        data=captures,
        name="tiny",
        out=out / "runs",
        cache=out / "cache",
        steps=2,
        model=ModelConfig(num_layers=0, hidden_channels=8, heads=2, mend=2),
        clip=ClipConfig(frames=2, target_views=2, target_poses=1, pose_noise=5.0),
        loss=LossConfig(lpips=0),
    )


@pytest.fixture
def config(tiny_captures, tmp_path):
    return small(tiny_captures, tmp_path)


@pytest.fixture(scope="module")
def sources(tiny_captures, body, tmp_path_factory):
    captures = open_captures(tiny_captures, 32, body).train
    return frame_sources(captures, 4, make_backbone(BackboneConfig()), body, tmp_path_factory.mktemp("cache"))


def trainer(config, sources):
    return Trainer(config, Accelerator(cpu=True), sources, ())


def test_a_clip_has_poses_that_are_off_and_is_compared_by_true_ones(config, sources):
    made = trainer(config, sources)
    item = next(
        item
        for item in (made.load(np.random.default_rng(seed)) for seed in range(9))
        if not torch.equal(item.input.source.capture.poses.body_pose, sources[0].capture.poses.body_pose)
    )
    assert isinstance(item.input, Untold)
    frames = list(item.input.plan.frames)
    true = sources[0].capture.poses
    assert not torch.equal(item.input.source.capture.poses[frames].body_pose, true[frames].body_pose)
    assert torch.equal(item.input.truth.body_pose, true[frames].body_pose)
    target = item.input.plan.targets[0].frame
    assert torch.equal(item.poses.body_pose, true[[target]].body_pose)
    assert item.input.images.rgb.shape == (2, 4, SIDE, SIDE, 3)


@pytest.mark.slow
def test_a_run_learns_poses_and_goes_on_bit_for_bit(config):
    train_command.main(config)
    whole = HGGNet.load(config.folder / "model").state_dict()
    cut = replace(config, name="cut", out=config.out / "cut", checkpoint_every=1)
    original, calls = Trainer.loss, []

    def interrupted(self, item):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_command.main(cut)
    train_command.main(replace(cut, resume=True))
    again = HGGNet.load(cut.folder / "model").state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())
    assert any(name.startswith("mender.") for name in whole)


def test_poses_alone_are_learnt_where_no_image_is_drawn(config, sources):
    made = trainer(replace(config, loss=LossConfig(rendering=0)), sources)
    before = {name: weight.clone() for name, weight in made.network.state_dict().items()}
    item = next(item for item in (made.load(np.random.default_rng(seed)) for seed in range(9)))
    for _ in range(2):
        loss, quality = made.loss(item)
        made.accelerator.backward(loss)
        made.optimizer.step()
    assert quality.isnan()
    changed = {name for name, weight in made.network.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith("mender.") for name in changed)
    with pytest.raises(UserError, match=r"loss\.rendering: expected more than 0 of a network that corrects no poses"):
        trainer(replace(config, model=replace(config.model, mend=0), loss=LossConfig(rendering=0)), sources)


def test_the_loss_is_zero_for_true_poses_and_grows_with_what_is_off(config, sources, body):
    true = sources[0].capture.poses[[0, 1]]
    images = load_pose_images(sources[0], [0, 1])
    network = trainer(config, sources).network

    def loss(poses):
        return float(pose_loss(network(None, (body, poses, images)), Stance.of(body, true)).detach())

    off = [replace(true, transl=true.transl + shift) for shift in (0.0, 0.02, 0.04)]
    found = [loss(poses) for poses in off]
    assert found[0] == pytest.approx(0.065, abs=0.001)  # the millimetre below which distances are not told apart
    assert found[1] == pytest.approx(3**0.5 + 0.015, abs=0.01)
    assert found[2] == pytest.approx(2 * 3**0.5 + 0.015, abs=0.01)


def test_a_source_is_mended_only_by_a_network_that_mends(config, sources, body):
    source = sources[0]
    assert mended_source(source, [0, 1], DirectBinding()) is source
    network = trainer(config, sources).network
    torch.nn.init.constant_(network.mender.head[-1].bias, 0.5)
    found = mended_source(source, [0, 2], network)
    changed = (found.capture.poses.body_pose != source.capture.poses.body_pose).any(1).tolist()
    assert changed == [True, False, True, False]
    assert found.capture.digest != source.capture.digest
    assert len(found.predict(0)) > 0


def test_training_starts_from_weights(config, sources, tmp_path):
    first = trainer(replace(config, model=replace(config.model, mend=0)), sources).network
    first.save(tmp_path / "first" / "model")
    second = trainer(replace(config, seed=5, start=tmp_path / "first"), sources).network
    weights = second.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in first.state_dict().items())
    assert any(name.startswith("mender.") for name in weights)
    wider = replace(config.model, hidden_channels=16)
    with pytest.raises(UserError, match=r"--start .*: queries: expected \[6890, 1, 16\].*, found \[6890, 1, 8\]"):
        trainer(replace(config, model=wider, start=tmp_path / "first"), sources)
    with pytest.raises(UserError, match="expected a saved model, found nothing"):
        trainer(replace(config, start=tmp_path / "nowhere"), sources)


TWO = """
import sys
from pathlib import Path
from hgg_pyg.io.tensors import save_tensors
from hgg_pyg.processes import join_processes
from tests.training.test_mending import gradients

data, out = Path(sys.argv[1]), Path(sys.argv[2])
accelerator = join_processes("no", 1)
found = gradients(accelerator, data, out)
if accelerator.is_main_process:
    save_tensors(out / "two.safetensors", found, {})
"""


def gradients(accelerator, data, out):
    """Of one clip, which all processes take."""
    body = load_body()
    sources = frame_sources(open_captures(data, 32, body).train, 4, make_backbone(BackboneConfig()), body, out)
    made = Trainer(small(data, out), accelerator, sources, ())
    loss, _ = made.loss(made.load(np.random.default_rng(0)))
    accelerator.backward(loss)
    return {name: weight.grad for name, weight in made.network.named_parameters()}


@pytest.mark.slow
def test_two_processes_learn_poses_as_one_does(tiny_captures, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    started = [
        python.start(
            *("-c", TWO, tiny_captures, tmp_path),
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    alone = gradients(Accelerator(cpu=True), tiny_captures, tmp_path)
    for process in [process.finish(timeout=240) for process in started]:
        assert process.returncode == 0, process.stderr
    both = load_tensors(tmp_path / "two.safetensors").tensors
    assert alone.keys() == both.keys()
    for name, gradient in alone.items():
        torch.testing.assert_close(both[name], gradient, rtol=1e-4, atol=1e-6)
