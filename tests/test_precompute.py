"""`python -m hgg_pyg.precompute`: alone, shared, stopped, killed; what training finds; what it says of mistakes."""

import os
import re
import signal
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from hgg_pyg import precompute
from hgg_pyg import train as train_command
from hgg_pyg.backbones.lgm import LGM, PRESETS
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.precompute import Estimate, PrecomputeConfig, duration
from hgg_pyg.runtime import run_command
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.types import UserError
from tests import python


@pytest.fixture
def config(tiny_captures, tmp_path) -> PrecomputeConfig:
    """Three subjects of 4 frames: three shards."""
    return PrecomputeConfig(data=tiny_captures, cache=tmp_path / "cache")


def shards(cache: Path) -> dict[Path, bytes]:
    """Content by path within the cache."""
    return {path.relative_to(cache): path.read_bytes() for path in cache.rglob("[!.]*.safetensors")}


def test_all_is_computed_once_and_numbers_are_said(config, said, monkeypatch):
    precompute.main(config)
    layout, before, after = said.messages
    assert layout == "3 subjects in the layout of AvatarReX"
    assert ": 4 of 12 frames are there; about " in before
    assert re.search(
        r"Gaussians and [\d.]+ MB per frame, [\d.e-]+ GB in all; to go: .* GB free, about \d+ s with 1", before
    )
    assert re.match(
        r"12 frames in \d+ s, [\d.]+ a second, [\d.]+ MB each; 120,000 frames .* GB and [\d.]+ hours", after
    )
    found = shards(config.cache)
    assert len(found) == 3
    assert {len(list((config.cache / path).parent.iterdir())) for path in found} == {2}  # and cache.json
    said.clear()

    def refuse(*_):
        raise AssertionError("nothing was to be computed")

    monkeypatch.setattr(FrameSource, "predict", refuse)
    precompute.main(config)
    assert ": 12 of 12 frames are there; about " in said.messages[1]
    assert re.match(r"all 12 frames were there, [\d.]+ MB each; 120,000 frames .* GB$", said.messages[2])


def test_training_finds_everything(config, monkeypatch, tmp_path):
    """The same options give the same folders, other ones do not."""
    precompute.main(config)

    class Reached(Exception):
        pass

    def stop(*_):
        raise Reached

    def compute(*_):
        raise AssertionError("nothing was to be computed")

    monkeypatch.setattr(train_command, "Trainer", stop)
    monkeypatch.setattr(FrameSource, "predict", compute)
    train = TrainConfig(data=config.data, cache=config.cache, out=tmp_path / "runs")
    with pytest.raises(Reached):
        train_command.main(train)
    with pytest.raises(AssertionError, match="nothing was to be computed"):
        train_command.main(replace(train, image_size=24, name="smaller"))


def test_a_dry_run_computes_the_first_shard_only(config, said):
    precompute.main(replace(config, dry_run=True))
    assert (len(said.messages), len(shards(config.cache))) == (2, 1)
    precompute.main(replace(config, splits="val"))
    assert {str(path)[:10] for path in shards(config.cache)} == {"subject000", "subject001"}


def test_a_disk_that_is_too_small_is_refused_before_the_rest_is_computed(config, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("hgg_pyg.precompute.shutil.disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(UserError, match=r"cache: expected 0\.\d+ GB of free disk for 8 more frames, found 1e-06 GB"):
        precompute.main(config)
    assert len(shards(config.cache)) == 1


def test_ctrl_c_leaves_finished_shards(config, monkeypatch):
    original, calls = FrameSource.predict, []

    def predict(self, frame):
        calls.append(frame)
        if len(calls) == 12:  # within the third shard
            raise KeyboardInterrupt
        return original(self, frame)

    monkeypatch.setattr(FrameSource, "predict", predict)
    with pytest.raises(KeyboardInterrupt):
        precompute.main(config)
    monkeypatch.setattr(FrameSource, "predict", original)
    kept = shards(config.cache)
    assert 1 <= len(kept) <= 2
    precompute.main(config)
    complete = shards(config.cache)
    assert len(complete) == 3
    assert complete.items() >= kept.items()


KILLED = """
import os, signal, sys
from pathlib import Path
from hgg_pyg import precompute
from hgg_pyg.data import shards

calls = 0
original = shards.save_file
def save_file(tensors, path, metadata):
    global calls
    calls += 1
    if calls == 2:
        Path(path).write_bytes(b"half a shard")
        os.kill(os.getpid(), signal.SIGKILL)
    original(tensors, path, metadata)
shards.save_file = save_file
precompute.main(precompute.PrecomputeConfig(data=Path(sys.argv[1]), cache=Path(sys.argv[2])))
"""


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with(config, tmp_path):
    precompute.main(config)
    unbroken, cache = shards(config.cache), tmp_path / "killed"
    killed = python.run("-c", KILLED, config.data, cache)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    half = list(cache.rglob(".*.safetensors"))
    assert [path.read_bytes() for path in half] == [b"half a shard"]
    (first,) = shards(cache)
    written = (cache / first).stat().st_mtime_ns
    precompute.main(replace(config, cache=cache))
    assert shards(cache) == unbroken
    assert (cache / first).stat().st_mtime_ns == written
    assert not half[0].exists()  # its process has ended


def launch(*options: str) -> subprocess.CompletedProcess[str]:
    """Two processes on the CPU."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # of the processes that it starts
    return python.run(*launcher, "-m", "hgg_pyg.precompute", *options, env=environment, forks=True)


@pytest.mark.slow
def test_two_processes_write_what_one_writes(config, tmp_path):
    precompute.main(config)
    cache = tmp_path / "launched"
    done = launch("--data", str(config.data), "--cache", str(cache))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count(" with 2 processes\n") == 1  # one of them speaks
    assert done.stderr.count("12 frames in ") == 1
    assert shards(cache) == shards(config.cache)


@pytest.mark.slow
def test_processes_that_cannot_write_say_why_and_end(config):
    done = launch("--data", str(config.data), "--cache", "/dev/null/cache")
    assert done.returncode != 0
    assert "error: --cache /dev/null/cache: expected a folder that can be written" in done.stderr


def command_says(monkeypatch, capsys, code: int, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["precompute.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(PrecomputeConfig, precompute.main)
    assert stop.value.code == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "/no/such/folder"], "/no/such/folder: expected a folder of captures, found nothing"),
        (["--splits", "holdout"], "splits"),
        (["--image-size", "0"], "--image-size: expected at least 1, found 0"),
        (["--input-views", "0"], "--input-views: expected at least 1, found 0"),
        (["--input-views", "7"], "expected at least 7 cameras as input, found 6"),
        (["--backbone", "lgm"], "backbone lgm: expected weights, found none"),
        (["--body", "/no/such/body.npz"], "/no/such/body.npz"),
        (["--cache", "{file}"], "--cache {file}: expected a folder that can be written (Not a directory)"),
        (["--cache", "/proc/nothing"], "--cache /proc/nothing: expected a folder that can be written"),
    ],
)
def test_wrong_inputs_end_in_one_line(tiny_captures, tmp_path, monkeypatch, capsys, arguments, message):
    file = tmp_path / "file"
    file.touch()
    arguments = [argument.format(file=file) for argument in arguments]
    given = ["--data", str(tiny_captures), "--cache", str(tmp_path / "cache"), *arguments]
    text = command_says(monkeypatch, capsys, 2, *given)
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert message.format(file=file) in line
    assert not (tmp_path / "cache").exists()


def test_captures_and_views_that_do_not_fit_are_named(config, tmp_path, monkeypatch, capsys):
    weights = tmp_path / "micro.safetensors"
    save_file(LGM(PRESETS["micro"]).state_dict(), weights)
    text = command_says(monkeypatch, capsys, 2, "--data", str(config.data), "--cache", str(config.cache), "--backbone",
                        "lgm", "--backbone.checkpoint", str(weights), "--backbone.preset", "micro",
                        "--input-views", "3")  # fmt: skip
    assert "error: input_views: this backbone takes 4 views, found 3" in text
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="expected a subject's folder"):
        precompute.main(replace(config, data=empty))
    copy = tmp_path / "captures"
    copy.mkdir()
    for path in Path(str(config.data)).iterdir():
        (copy / path.name).symlink_to(path) if path.is_dir() else None
    (copy / "splits.json").write_text('{"train": ["subject000"], "val": [], "test": []}')
    with pytest.raises(UserError, match="captures: expected subjects in split val, found none"):
        precompute.main(replace(config, data=copy, splits="val"))


def test_help_names_every_option(monkeypatch, capsys):
    shown = command_says(monkeypatch, capsys, 0, "--help")
    assert "python -m hgg_pyg.precompute" in shown
    for option in ("--data", "--splits", "--image-size", "--input-views", "--cache", "--dry-run", "--backbone"):
        assert option in shown


def test_estimates_in_words():
    estimate = Estimate(frames=120_000, missing=60_000, gaussians=65_536, bytes_per_frame=21.8e6, seconds_per_frame=0.5)
    assert estimate.describe(Path("cache"), 2 * 10**12, 4) == (
        "cache: 60,000 of 120,000 frames are there; about 65,536 Gaussians and 21.8 MB per frame, 2,616 GB in all; "
        "to go: 1,308 GB of 2,000 GB free, about 2.1 h with 4 processes"
    )
    assert [duration(s) for s in (3.2, 89, 91, 3600, 36_000)] == ["3 s", "89 s", "2 min", "60 min", "10.0 h"]
