"""A flipped bit in any file of ours is refused in one line, or made anew, or changes nothing; it is never used."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import graphs.mesh_hops
from graphs import GraphSpec
from hgg_pyg.backbones.lgm import LGM, PRESETS
from hgg_pyg.backbones.lgm.checkpoint import load_lgm, save_lgm
from hgg_pyg.config import settings_of
from hgg_pyg.data.shards import DamagedShard, halve, read_frame, write_shard
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.training.checkpoint import Checkpoint, StepRecord
from hgg_pyg.training.run import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    MODEL_FOLDER,
    RUN_SETTINGS,
    TrainConfig,
    check_settings,
    create_run,
    find_checkpoint,
    read_config,
)
from hgg_pyg.types import Gaussians, UserError
from tests.bit_flips import flip_bits

FLIPS = 40
MODEL = ModelConfig(num_layers=1, hidden_channels=4, heads=1, in_channels=3, num_vertices=5)


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def run(tmp_path) -> TrainConfig:
    """A run after two steps, with its checkpoint and its network."""
    config = TrainConfig(out=tmp_path, name="run", resume=True, steps=4, model=MODEL, graph=GraphSpec(k=2))
    create_run(config)
    torch.manual_seed(0)
    model = HGGNet(MODEL)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=5)
    for _ in range(2):
        torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum().backward()
        optimizer.step()
        scheduler.step()
    history = tuple(StepRecord(step, 0.5, 20.0, 1e-3, None) for step in (1, 2))
    states = (model.state_dict(), optimizer.state_dict(), scheduler.state_dict())
    Checkpoint(2, *states, history, settings_of(config)).save(config.folder)
    model.save(config.folder / MODEL_FOLDER, {RUN_SETTINGS: json.dumps(settings_of(config))})
    return config


def test_bits_of_a_checkpoint(run):
    path, intact = run.folder / CHECKPOINT_FILE, Checkpoint.load(run.folder)
    torch.load(path, weights_only=True)  # the file is still one of torch
    found = flip_bits(path, lambda: find_checkpoint(run), lambda read: equal(read.model, intact.model), FLIPS)
    assert found == {"refused": FLIPS}


def test_bits_of_a_network(run):
    folder = run.folder / MODEL_FOLDER
    intact = HGGNet.load(folder).state_dict()

    def same(model: HGGNet) -> bool:
        return equal(model.state_dict(), intact) and model.config == MODEL

    assert flip_bits(folder / "model.safetensors", lambda: HGGNet.load(folder), same, FLIPS) == {"refused": FLIPS}
    found = flip_bits(folder / "model.json", lambda: HGGNet.load(folder), same, 3 * FLIPS)
    assert found["wrong"] == 0
    assert found["refused"] > 2 * FLIPS  # others turn a blank into another


def test_bits_of_a_run_s_configuration(run):
    """Of the options only places may change, which say where things lie; a name that is wrong there is not found."""
    folder = run.folder
    kept = Checkpoint.load(folder).settings

    def read() -> TrainConfig:
        config = read_config(folder)
        check_settings(folder, kept, config, CHECKPOINT_FILE)
        return replace(config, out=run.out, name=run.name, cache=run.cache, body=None, data=None, checkpoint_every=80)

    found = flip_bits(folder / CONFIG_FILE, read, lambda config: settings_of(config) == settings_of(run), 4 * FLIPS)
    assert found["wrong"] == 0
    assert found["refused"] > 2 * FLIPS


def test_bits_of_fine_tuned_weights(tmp_path):
    network, path = LGM(PRESETS["micro"]), tmp_path / "lgm.safetensors"
    save_lgm(network, "micro", 64, path)
    intact = network.state_dict()
    found = flip_bits(path, lambda: load_lgm(path), lambda read: equal(read.network.state_dict(), intact), FLIPS // 2)
    assert found == {"refused": FLIPS // 2}
    save_file(intact, path, {"preset": "micro", "size": "64"})  # as other programs write it: there is no digest
    assert load_lgm(path).size == 64


def test_bits_of_a_shard(tmp_path):
    path, generator = tmp_path / "shard.safetensors", torch.Generator().manual_seed(0)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    frames = {n: halve(Gaussians(some(700, 3), some(700, 4), some(700, 3), some(700), some(700, 3), some(700, 5)), "")
              for n in range(2)}  # fmt: skip
    write_shard(path, frames)
    intact = read_frame(path, 1)

    def read() -> Gaussians:
        try:
            return read_frame(path, 1)
        except DamagedShard as error:
            raise UserError(str(error)) from None

    def same(found: Gaussians) -> bool:
        return equal(vars(found), vars(intact))

    found = flip_bits(path, read, same, 5 * FLIPS)
    assert found["wrong"] == 0
    assert found["same"] + found["refused"] == 5 * FLIPS
    assert found["refused"] > 1.5 * FLIPS  # the other half is the other frame


def test_bits_of_mesh_edges(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HGG_CACHE", str(tmp_path))
    faces = torch.randint(40, (60, 3), generator=torch.Generator().manual_seed(0))
    expected = graphs.mesh_hops.mesh_hop_edges(faces, 2)
    (path,) = tmp_path.iterdir()
    computed, original = [], graphs.mesh_hops._compute
    monkeypatch.setattr(graphs.mesh_hops, "_compute", lambda *args: computed.append(1) or original(*args))

    def read() -> torch.Tensor:
        return graphs.mesh_hops.mesh_hop_edges(faces, 2)

    assert flip_bits(path, read, lambda found: torch.equal(found, expected), FLIPS) == {"same": FLIPS}
    assert len(computed) == FLIPS == caplog.text.count("the edges are computed anew")
    another = tmp_path / f"mesh_hops_{'0' * 64}.npy"
    another.write_bytes(path.read_bytes())
    assert graphs.mesh_hops._load(another) is None  # a good file, of another mesh
    assert np.array_equal(np.load(path), expected.numpy())  # numpy can read it
