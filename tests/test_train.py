"""The whole way through on tiny captures: train, stop, kill, go on, evaluate; and what happens to wrong inputs."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graphs import GraphSpec
from hgg_pyg import evaluate as evaluate_command
from hgg_pyg import finetune as finetune_command
from hgg_pyg import inspect as inspect_command
from hgg_pyg import train as train_command
from hgg_pyg.avatar import Avatar
from hgg_pyg.config import ClipConfig, config_json
from hgg_pyg.evaluate import EvaluateConfig
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.inspect import InspectConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.run import TrainConfig, find_checkpoint, read_config
from hgg_pyg.training.trainer import Trainer
from hgg_pyg.types import UserError
from tests import python


@pytest.fixture(scope="module")
def unbroken(tiny_captures, tmp_path_factory) -> tuple[TrainConfig, str]:
    """A finished run, which is to be left as it is, and what it said."""
    folder = tmp_path_factory.mktemp("unbroken")
    config = replace(small_run(tiny_captures, folder / "runs", folder / "cache"), refine=0.5)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        train_command.main(config)
    return config, said.getvalue()


@pytest.fixture
def config(tiny_captures, tmp_path) -> TrainConfig:
    return small_run(tiny_captures, tmp_path / "runs", tmp_path / "cache")


def small_run(captures: Path, out: Path, cache: Path) -> TrainConfig:
    return TrainConfig(
        data=captures,
        name="tiny",
        out=out,
        cache=cache,
        steps=3,
        accumulation=2,
        checkpoint_every=1,
        validate_every=2,
        model=ModelConfig(num_layers=1, hidden_channels=8, heads=2, shift="surface", feedback=1),
        clip=ClipConfig(frames=2, target_views=4, target_poses=2),
    )


@pytest.mark.slow
def test_a_run_leaves_what_the_readme_says(unbroken, tmp_path):
    config, said = unbroken
    names = {path.name for path in config.folder.iterdir()}
    assert names == {"config.json", "git.txt", "inputs.json", "checkpoint.pt", "model", "metrics.json", "scores.csv",
                     "table.md", "curves.png", "sheet.png", "report.html", "tensorboard", "avatar.avatar",
                     "avatar.html"}  # fmt: skip
    assert read_config(config.folder) == config
    assert re.fullmatch(r"\d+ steps in .*", Avatar.load(config.folder / "avatar.avatar").about["refined"])
    history = Checkpoint.load(config.folder).history
    assert [record.step for record in history] == [1, 2, 3]
    assert all(np.isfinite([record.loss, record.psnr]).all() for record in history)
    assert [record.val_psnr is not None for record in history] == [False, True, True]
    metrics = json.loads((config.folder / "metrics.json").read_text())
    assert {(s["task"], s["method"]) for s in metrics["scores"]} == {
        (task, method) for task in ("novel view", "novel pose") for method in ("direct binding", "ours")
    }
    assert "novel pose" in said
    for told in (said, (config.folder / "table.md").read_text(), (config.folder / "report.html").read_text()):
        assert "loss: squared error of colour and 1 of alpha; no LPIPS" in told

    shown = evaluate_command.main(EvaluateConfig(config.folder, views=3, out=tmp_path / "again"))
    assert {score.images for score in shown.scores} == {3}
    with pytest.raises(UserError, match="already holds a run; --resume"):
        train_command.main(config)
    with pytest.raises(
        UserError, match=r"config\.json: model\.hidden_channels: the run has 8, the command line says 16"
    ):
        train_command.main(replace(config, resume=True, model=replace(config.model, hidden_channels=16)))


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from hgg_pyg import train
from hgg_pyg.config import config_from_json
from hgg_pyg.training import run, trainer

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

calls = 0
if sys.argv[2] == "mid-step":
    original = trainer.Trainer.loss
    def loss(self, *args):
        global calls
        calls += 1
        return kill() if calls == 6 else original(self, *args)  # within the third step, which saved the first
    trainer.Trainer.loss = loss
else:
    original = torch.save
    def save(state, path):
        global calls
        calls += 1
        if calls == 2:
            Path(path).write_bytes(b"half a checkpoint")
            kill()
        original(state, path)
    torch.save = save
config = config_from_json(run.TrainConfig, __import__("json").loads(sys.argv[1]))
train.main(config)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["mid-step", "mid-save"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(config, unbroken, moment):
    whole, _ = unbroken
    config = replace(config, cache=whole.cache)
    killed = python.run("-c", KILLED, config_json(config), moment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert Checkpoint.load(config.folder).step == 1
    moved = config
    if moment == "mid-step":  # to another folder, by a copy that does not keep the files' times
        copied = shutil.copytree(config.captures, config.out / "copied", copy_function=shutil.copyfile)
        moved = replace(config, data=copied, cache=config.out / "cache")
    train_command.main(replace(moved, resume=True))
    assert read_config(config.folder).data == moved.data
    expected, found = Checkpoint.load(whole.folder), Checkpoint.load(config.folder)
    assert len(found.history) == 3
    for a, b in zip(expected.history, found.history, strict=True):
        assert (a.loss, a.psnr) == (b.loss, b.psnr)
    for name, weight in expected.model.items():
        assert torch.equal(weight, found.model[name]), name


def test_ctrl_c_saves_the_last_whole_step_and_exits(config, monkeypatch):
    original, calls = Trainer.loss, []

    def loss(self, *args):
        calls.append(1)
        if len(calls) == 3:  # the first clip of the second step
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *args)

    monkeypatch.setattr(Trainer, "loss", loss)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stop:
        train_command.main(replace(config, checkpoint_every=100))
    assert stop.value.code == 130
    assert len(calls) == 3
    assert Checkpoint.load(config.folder).step == 1
    assert signal.getsignal(signal.SIGINT) is before


def run(monkeypatch, capsys, command, config_type, *arguments: str) -> str:
    """Run a command with a command line; it must fail with code 2. Returns what it says."""
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(config_type, command)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def first(captures: Path) -> Path:
    return min(path for path in captures.iterdir() if path.is_dir())


def remove_images(captures: Path) -> None:
    for path in first(captures).glob("cam*/*.jpg"):
        path.unlink()


def shrink_a_mask(captures: Path) -> None:
    path = min(first(captures).glob("cam*/mask/pha/*.jpg"))
    Image.open(path).resize((16, 16)).save(path)


def break_poses(captures: Path) -> None:
    path = first(captures) / "smpl_params.npz"
    values = dict(np.load(path))
    values["body_pose"][:, 5] = np.nan
    np.savez(path, **values)


def drop_an_intrinsic(captures: Path) -> None:
    path = first(captures) / "calibration_full.json"
    cameras = json.loads(path.read_text())
    del cameras[min(cameras)]["K"]
    path.write_text(json.dumps(cameras))


def empty(captures: Path) -> None:
    shutil.rmtree(captures)
    captures.mkdir()


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (remove_images, ["subject000", "no images (cam00, cam01, cam02, ...)"]),
        (shrink_a_mask, ["mask", ".jpg", "32", "16"]),
        (break_poses, ["subject000", "4 frames left out: NaN or Inf in the pose"]),
        (drop_an_intrinsic, ["calibration_full.json", "'K'"]),
        (empty, ["expected", "calibration_full.json"]),
    ],
)
def test_damaged_captures_end_in_one_line(tiny_captures, tmp_path, monkeypatch, capsys, damage, parts):
    copy = tmp_path / "captures"
    shutil.copytree(tiny_captures, copy)
    damage(copy)
    text = run(
        monkeypatch, capsys, train_command.main, TrainConfig, "--data", str(copy), "--out", str(tmp_path / "runs")
    )
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unknown-option", "1"], "unknown-option"),
        (["--steps", "0"], "steps: expected at least 1, found 0"),
        (["--model.heads", "5"], "--model.heads: expected a divisor of hidden_channels"),
        (["--name", "a/b"], "expected a plain folder name"),
        (["--preset", "best"], "--preset: expected one of demo, "),
        (["--data", "/no/such/folder"], "/no/such/folder: expected a folder of captures"),
        (["--model.conv", "GATv3Conv"], "expected one of auto, attention, fused, the name of a MessagePassing layer"),
        (["--model.norm", "middle"], "--model.norm: expected one of p"),
        (["--lr", "fast"], "lr"),
        (["--model.backend", "flash"], "attention backend: expected one of auto, reference, scatter, "),
        (["--model.backend", "flex"], "expected one that runs here, found 'flex', which does not run on cpu"),
    ],
)
def test_wrong_options_end_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    text = run(monkeypatch, capsys, train_command.main, TrainConfig, "--out", str(tmp_path / "runs"), *arguments)
    assert message in text
    assert not (tmp_path / "runs").exists()


def test_a_conv_that_cannot_do_what_is_asked_for_leaves_no_run(config):
    wrong = replace(config, model=replace(config.model, conv="SAGEConv", attention_dropout=0.1))
    with pytest.raises(UserError, match=r"conv SAGEConv: expected a layer that takes dropout of attention weights"):
        train_command.main(wrong)
    assert not config.folder.exists()


def test_a_preset_changes_defaults_and_options_change_the_preset(monkeypatch):
    def parsed(*arguments: str) -> TrainConfig:
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        found: list[TrainConfig] = []
        run_command(TrainConfig, found.append)
        return found[0]

    assert parsed() == parsed("--preset", "demo") == TrainConfig()
    large = replace(ModelConfig(), num_layers=6, hidden_channels=128, heads=8)
    assert parsed("--preset", "paper") == TrainConfig(model=large)
    changed = replace(ModelConfig(), shift="surface", feedback=2)
    near = GraphSpec(hops=1)
    assert parsed("--preset=recommended", "--steps", "7") == TrainConfig(steps=7, model=changed, graph=near)
    assert parsed("--preset=recommended", "--graph.hops", "3").graph == GraphSpec(hops=3)
    assert parsed("--model.shift", "rest", "--preset", "recommended").model == replace(changed, shift="rest")


def test_evaluating_what_is_not_a_run(tmp_path, monkeypatch, capsys):
    text = run(monkeypatch, capsys, evaluate_command.main, EvaluateConfig, str(tmp_path))
    assert "config.json: expected the configuration of a run, found nothing" in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"model": []}',
        b'{"model": {"heads": null}}',
        b'{"graph": {"relations": 3}}',
        b'{"lr": NaN}',
        b'{"steps": 1e999}',
        b'{"clip": {"frames": [2]}}',
    ],
)
def test_a_damaged_configuration_is_one_line_in_every_command(config, content):
    config.folder.mkdir(parents=True)
    (config.folder / "config.json").write_bytes(content)
    for command in (
        lambda: train_command.main(replace(config, resume=True)),
        lambda: finetune_command.main(FinetuneConfig(data=config.data, name=config.name, out=config.out, resume=True)),
        lambda: evaluate_command.main(EvaluateConfig(config.folder)),
        lambda: inspect_command.main(InspectConfig(config.folder)),
    ):
        with pytest.raises(
            UserError,
            match=r"config\.json: expected (the configuration of a run, found|a configuration that can be used here)",
        ) as caught:
            command()
        assert "\n" not in str(caught.value)


def test_a_configuration_that_changed_after_training_is_refused(config):
    train_command.main(replace(config, steps=1, accumulation=1))
    path = config.folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"image_size": 129}))
    expected = r"config\.json: image_size: expected 128, found 129: it is not the one that model/model\.safetensors was"
    for command in (
        lambda: evaluate_command.main(EvaluateConfig(config.folder)),
        lambda: inspect_command.main(InspectConfig(config.folder)),
    ):
        with pytest.raises(UserError, match=expected):
            command()
    path.write_text(json.dumps(content | {"cache": str(config.cache / "moved")}))  # what lies elsewhere may say so
    (config.folder / "curves.png").write_bytes(b"broken")
    evaluate_command.main(EvaluateConfig(config.folder, views=1))
    assert (config.folder / "report.html").is_file()
    wrong = replace(config, steps=1, accumulation=1, resume=True, image_size=129)
    path.write_text(json.dumps(content | {"image_size": 129}))
    with pytest.raises(UserError, match=r"config\.json: image_size: expected 128, .* checkpoint\.pt was made under"):
        train_command.main(wrong)  # another run's configuration beside the checkpoint


def test_a_damaged_checkpoint_is_named(config):
    train = replace(config, resume=True)
    train.folder.mkdir(parents=True)
    from hgg_pyg.training.run import create_run

    create_run(train)
    assert find_checkpoint(train) is None
    (train.folder / "checkpoint.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint\.pt: expected a checkpoint of this program"):
        find_checkpoint(train)


def test_a_capture_without_held_out_cameras_is_evaluated_on_novel_poses_only(config, tiny_captures, tmp_path, capsys):
    copy = tmp_path / "captures"
    shutil.copytree(tiny_captures, copy)
    for path in copy.glob("*/calibration_full.json"):
        cameras = json.loads(path.read_text())
        path.write_text(json.dumps({name: cameras[name] for name in sorted(cameras)[:4]}))
    train_command.main(replace(config, data=copy, steps=1, accumulation=1))
    metrics = json.loads((config.folder / "metrics.json").read_text())
    assert set(metrics["summary"]) == {"novel pose"}
    said = capsys.readouterr().out
    assert "novel view is left out: no test subject has cameras that are not input" in said
