"""`python -m benchmarks.ablation`: which runs it makes, that they survive what happens to runs, and what it shows."""

import csv
import json
import math
import multiprocessing
import os
import signal
import statistics
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import ablation_runs, ablation_times
from benchmarks.ablation import AblationBenchmark, main
from benchmarks.ablation_report import read_outcome, training_seconds
from benchmarks.ablation_runs import is_finished, log_file
from benchmarks.ablation_studies import STUDY_NAMES, different_runs, expected_seconds
from benchmarks.ablation_times import read_times
from graphs import GraphSpec
from hgg_pyg.config import ClipConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.training.run import TrainConfig, read_config
from hgg_pyg.types import UserError
from tests import python

ROOT = Path(__file__).parents[2]
OPTIONS = (
    *("--steps", "4", "--accumulation", "1", "--checkpoint-every", "1", "--study", "frames", "--seeds", "2"),
    *("--model.num-layers", "1", "--model.hidden-channels", "8", "--model.heads", "2", "--clip.frames", "2"),
    *("--clip.target-views", "4", "--workers", "2", "--timed-clips", "2"),
)


def options(captures: Path, folder: Path) -> list[str]:
    where = {"data": captures, "out": folder / "runs", "cache": folder / "cache", "table": folder / "out" / "table.csv"}
    return [*OPTIONS, *(text for name, path in where.items() for text in (f"--{name}", str(path)))]


@pytest.fixture
def config(tiny_captures, tmp_path) -> AblationBenchmark:
    """What `options` says."""
    return AblationBenchmark(
        data=tiny_captures,
        out=tmp_path / "runs",
        cache=tmp_path / "cache",
        table=tmp_path / "out" / "table.csv",
        steps=4,
        accumulation=1,
        checkpoint_every=1,
        model=ModelConfig(num_layers=1, hidden_channels=8, heads=2),
        clip=ClipConfig(frames=2, target_views=4),
        study=("frames",),
        seeds=2,
        workers=2,
        timed_clips=2,
    )


@pytest.fixture
def forked_runs(monkeypatch) -> None:
    """Runs are forked from a server that has imported what they need; those of the command itself are spawned."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.ablation_runs"])
    monkeypatch.setattr(ablation_runs, "get_context", lambda method: context)


def runs_of(config: AblationBenchmark) -> list[TrainConfig]:
    studies = config.studies(most_frames=3)
    return different_runs([studies[name] for name in config.chosen], config.all_seeds)


def until(condition, patience_s: float = 300) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def living(group: int) -> list[str]:
    """Names of a group's processes; of Linux only."""
    stats = [path.read_text().rpartition(")") for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return [name for name, _, rest in stats if int(rest.split()[2]) == group and rest.split()[0] != "Z"]


def changes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_runs_are_stopped_killed_finished_and_not_repeated(config, tiny_captures, tmp_path, capsys, forked_runs):
    runs = runs_of(config)
    assert [run.name for run in runs] == ["frames1-seed0", "default-seed0", "frames1-seed1", "default-seed1"]
    first, second = runs[:2]

    # Ctrl-C, once a run is under way: everything ends, saved.
    arguments = [*options(tiny_captures, tmp_path), "--seeds", "1", "--workers", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    command = python.start("-m", "benchmarks.ablation", *arguments, cwd=ROOT, env=environment, new_session=True)
    until((first.folder / "checkpoint.pt").is_file)
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does, to all of them
    done = command.finish(timeout=300)
    assert done.returncode == 130
    assert done.stderr.rstrip().endswith("interrupted")
    assert "Traceback" not in done.stderr
    until(lambda: not living(command.pid), 60)
    step = Checkpoint.load(first.folder).step
    assert step >= 1

    # Gone on with, and one run's process killed as it trains: it goes on, too.
    def kill() -> None:
        until((second.folder / "checkpoint.pt").is_file)
        next(p for p in multiprocessing.active_children() if p.name == second.name).kill()

    killer = threading.Thread(target=kill)
    killer.start()
    main(config)
    killer.join()
    assert f"going on from step {step} of 4" in log_file(first).read_text() or step == 4
    assert "going on from step" in log_file(second).read_text()
    for run in runs:
        assert is_finished(run, "test")
        assert [record.step for record in Checkpoint.load(run.folder).history] == [1, 2, 3, 4]
        assert read_config(run.folder) == run
        assert "Traceback" not in log_file(run).read_text()
    check_results(config, runs, capsys.readouterr().out)

    # Again: nothing is trained. With the scores of validation: only they are added.
    before = changes(config.folder)
    main(config)
    assert changes(config.folder) == before
    one = replace(config, seeds=1, split="val", table=tmp_path / "val" / "table.csv")
    main(one)
    added = changes(config.folder).keys() - before.keys()
    assert {path.parent for path in added} == {run.folder / "val" for run in runs[:2]}
    kept = {path for path in before if path.name in ("metrics.json", "checkpoint.pt", "model.safetensors")}
    assert {path: changes(config.folder)[path] for path in kept} == {path: before[path] for path in kept}
    assert {row["split"] for row in read(one.table)} == {"val"}
    subject = json.loads((first.folder / "val" / "metrics.json").read_text())["scores"][0]["subject"]
    assert subject == json.loads((tiny_captures / "splits.json").read_text())["val"][0]

    # The same folder with other options of training is refused.
    with pytest.raises(UserError, match=r"config\.json: lr: the run has 0\.002, the command line says 0\.1"):
        main(replace(config, lr=0.1))


def read(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    return list(csv.DictReader(path.read_text().splitlines()))


def check_results(config: AblationBenchmark, runs: list[TrainConfig], shown: str) -> None:
    rows = read(config.table)
    assert [row["run"] for row in rows] == [runs[i].name for i in (0, 2, 1, 3)]
    assert [(row["setting"], row["default"], row["seed"]) for row in rows] == [
        ("1", "False", "0"), ("1", "False", "1"), ("2", "True", "0"), ("2", "True", "1")
    ]  # fmt: skip
    gains: dict[str, list[float]] = {}
    for row in rows:
        run = next(run for run in runs if run.name == row["run"])
        summary = json.loads((run.folder / "metrics.json").read_text())["summary"]
        for name in ("view", "pose"):
            ours, direct = (summary[f"novel {name}"][method] for method in ("ours", "direct binding"))
            assert float(row[f"novel_{name}_psnr"]) == pytest.approx(ours["psnr"], rel=1e-4)
            assert float(row[f"novel_{name}_direct_ssim"]) == pytest.approx(direct["ssim"], rel=1e-4)
            assert float(row[f"novel_{name}_gain_db"]) == pytest.approx(ours["psnr"] - direct["psnr"], abs=1e-3)
        gains.setdefault(row["setting"], []).append(
            summary["novel pose"]["ours"]["psnr"] - summary["novel pose"]["direct binding"]["psnr"]
        )
        assert (row["steps"], row["split"], row["threads"]) == ("4", "test", "1")
        assert (row["train_subjects"], row["scored_subjects"]) == ("1", "1")
        model = Checkpoint.load(run.folder).model
        assert int(row["parameters"]) == sum(weight.numel() for weight in model.values())
        seconds = training_seconds(run)
        assert seconds is not None
        assert 0 < seconds < 600
        assert float(row["training_s"]) == pytest.approx(seconds, rel=1e-4)
        for name in ("torch", "date", "cpu"):
            assert row[name]
    table = Path(str(config.table))
    for row in read(table.with_name(f"{table.stem}_subjects.csv")):
        run = next(run for run in runs if run.name == row["run"])
        found = {
            (s["subject"], s["method"]): s["psnr"]
            for s in json.loads((run.folder / "metrics.json").read_text())["scores"]
            if s["task"] == "novel pose"
        }
        direct, ours = (found[row["subject"], method] for method in ("direct binding", "ours"))
        assert float(row["novel_pose_psnr"]) == pytest.approx(ours, rel=1e-4)
        assert float(row["novel_pose_gain_db"]) == pytest.approx(ours - direct, abs=1e-3)
    assert len(read(table.with_name(f"{table.stem}_subjects.csv"))) == len(runs)  # of one subject
    markdown = table.with_suffix(".md").read_text()
    for label, values in {"1": gains["1"], "2 (default)": gains["2"]}.items():
        text = f"{statistics.fmean(values):+.2f} ± {statistics.stdev(values):.2f}"
        assert any(line.startswith(f"| {label} | 2 |") and f"| {text} |" in line for line in markdown.splitlines())
        assert any(line.startswith(label) and f" {text} " in line for line in shown.splitlines())
    assert "one thread per run" in markdown
    times = read_times(config.folder)
    assert {name: time.clips for name, time in times.items()} == {"default": 2, "frames1": 2}
    for row in rows:
        time = times[row["run"].rpartition("-seed")[0]]
        assert 0 < time.clip_ms < 60_000
        assert float(row["training_time_ratio"]) == pytest.approx(time.ratio, rel=1e-4)
        assert f"| {time.ratio:.2f}x |" in markdown
    assert times["default"].ratio == 1
    with Image.open(table.with_suffix(".png")) as plot:
        assert plot.width > 600
        assert len(np.unique(np.asarray(plot.convert("L")))) > 20  # something is drawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--study", "depth"], "study"),
        (["--seeds", "some"], "--seeds: expected an integer, found 'some'"),
        (["--study"], "study: expected all, or some of components, presets"),
        (["--seeds", "0"], "seeds: expected at least 1, found 0"),
        (["--timed-clips", "-1"], "--timed-clips: expected at least 0, found -1"),
        (["--model.heads", "5"], "--model.heads: expected a divisor of hidden_channels"),
        (["--study", "settings"], "study: expected --settings for the study of that name"),
        (["--settings", "A: model.convs=GATv2Conv"], "settings: A: expected one of steps, accumulation, lr"),
        (["--settings", "A: model.num_layers=two"], "A: ModelConfig.num_layers: expected an integer, found 'two'"),
        (["--settings", "model.conv=GATv2Conv"], "settings: expected LABEL: FIELD=VALUE ..., found 'model.conv="),
        (["--data", "/no/such/folder"], "/no/such/folder: expected a folder of captures"),
    ],
)
def test_wrong_options_end_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    lines = say(monkeypatch, capsys, ["--out", str(tmp_path / "runs"), *arguments])
    assert message in lines[0]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there the backend runs")
def test_what_all_runs_refuse_is_said_once(tiny_captures, tmp_path, monkeypatch, capsys, forked_runs):
    arguments = [*options(tiny_captures, tmp_path), "--workers", "1", "--model.backend", "flex"]
    lines = say(monkeypatch, capsys, arguments)
    assert lines[0].startswith("error: frames1-seed0: model.backend: ")
    assert "does not run on cpu" in lines[0]
    logs = tmp_path / "runs" / "ablation" / "logs"
    assert [path.name for path in logs.iterdir()] == ["frames1-seed0.log"]  # the others were not begun
    assert not (tmp_path / "out").exists()


def say(monkeypatch, capsys, arguments: list[str]) -> list[str]:
    """Run the command, which must fail with code 2; returns its lines of errors, which must be one."""
    monkeypatch.setattr(sys, "argv", ["benchmarks/ablation.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(AblationBenchmark, main)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines


def test_a_dry_run_lists_every_run_and_makes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(AblationBenchmark(dry_run=True, seeds=1))
    shown = capsys.readouterr().out.splitlines()
    runs = different_runs(list(AblationBenchmark(seeds=1).studies(None).values()), [0])
    assert [line.split()[0] for line in shown[:-1]] == [run.name for run in runs]
    assert all("about" in line for line in shown)
    assert shown[-1].startswith(f"{len(runs)} runs of {TrainConfig().steps} steps, 0 of them finished; about ")
    assert list(tmp_path.iterdir()) == []


def test_settings_change_one_thing_and_share_runs():
    config = AblationBenchmark()
    studies = config.studies(most_frames=None)
    base = config.base
    values = {name: [setting.label for setting in study.settings] for name, study in studies.items()}
    assert tuple(values) == STUDY_NAMES[:-1]  # all but the one of --settings
    assert values["components"] == ["direct binding", "no intra", "no inter", "full"]
    relations = [s.config.graph.relations for s in studies["components"].settings]
    assert relations == [("binds", "near"), ("near",), ("binds",), ("binds", "near")]
    assert not studies["components"].settings[0].trained
    demo, recommended = studies["presets"].settings
    assert demo.config == base
    preset = TrainConfig.preset("recommended")
    assert (recommended.config.model, recommended.config.graph) == (preset.model, preset.graph)
    changed = [(s.config.model.shift, s.config.model.feedback, s.config.graph.hops) for s in studies["parts"].settings]
    assert changed == [("rest", 0, 2), ("surface", 0, 2), ("rest", 2, 2), ("rest", 0, 1)]
    assert [s.config.model.num_layers for s in studies["layers"].settings] == [0, 1, 2, 3, 6]
    assert [s.config.graph.k for s in studies["binding"].settings] == [1, 2, 4]
    assert [s.config.graph.hops for s in studies["hops"].settings] == [1, 2, 3]
    assert [s.config.model.num_tokens for s in studies["tokens"].settings] == [1, 4, 8]
    kinds = [(s.config.graph.readout_k, s.config.model.num_tokens) for s in studies["readout"].settings]
    assert kinds == [(1, 1), (1, 8), (4, 1)]
    assert [s.config.clip.frames for s in studies["frames"].settings] == [1, 2, 4, 8, 16]
    assert [s.label for s in config.studies(most_frames=6)["frames"].settings] == ["1", "2", "4", "8"]
    for study in studies.values():
        assert sum(setting.default for setting in study.settings) == 1
        for setting in study.settings:
            parts = (base.model, base.graph, base.clip)
            restored = replace(setting.config, **dict(zip(("model", "graph", "clip"), parts, strict=True)))
            assert restored == base  # nothing but these three is changed
            assert setting.default == (setting.config == base and setting.trained)
    runs = different_runs(list(studies.values()), config.all_seeds)
    assert len({run.name for run in runs}) == len(runs) == 3 * 21
    distinct = {(run.model, run.graph, run.clip, run.seed) for run in runs}
    assert len(distinct) == len(runs)  # no two names for one run
    six, none = (next(r for r in runs if r.name == f"num_layers{n}-seed0") for n in (6, 0))
    assert expected_seconds(six) > 3 * expected_seconds(none)


def test_no_intra_takes_feedback_away_too():
    config = AblationBenchmark(model=ModelConfig(feedback=2), graph=GraphSpec(hops=1))
    direct, no_intra, no_inter, full = config.studies(None)["components"].settings
    assert [s.config.model.feedback for s in (direct, no_intra, no_inter, full)] == [2, 0, 2, 2]
    assert (no_intra.name, no_inter.name, full.name) == ("feedback0-relations-near", "relations-binds", "default")
    only = AblationBenchmark(graph=GraphSpec(relations=("near",)))  # a graph without any relation is none
    assert [s.label for s in only.studies(None)["components"].settings] == ["direct binding", "full"]


def test_the_paper_s_gains_are_those_of_its_table():
    studies = AblationBenchmark().studies(None)
    gains = {s.label: s.papers_gain for s in studies["components"].settings}
    assert {k: round(v, 3) for k, v in gains.items() if v is not None} == {
        "direct binding": 0, "no intra": 0.575, "no inter": 1.778, "full": 2.686
    }  # fmt: skip
    layers = [s.papers_gain for s in studies["layers"].settings]
    assert [None if gain is None else round(gain, 3) for gain in layers] == [0.575, 2.128, None, 2.598, 2.686]


def test_quick_is_smaller_and_kept_apart():
    config, quick = AblationBenchmark().sized(), AblationBenchmark(quick=True).sized()
    assert [c.base.data for c in (config, quick)] == [Path("captures/ablation"), Path("captures/ablation_quick")]
    assert AblationBenchmark(data=Path("mine"), quick=True).sized().base.data == Path("mine")
    assert config.table == Path("benchmarks/results/ablation.csv")
    assert quick.table == Path("runs/ablation_quick/ablation.csv")
    assert quick.base.out == Path("runs/ablation_quick")
    assert (quick.seeds, quick.quick) == (1, False)
    runs = [different_runs(list(c.studies(None).values()), c.all_seeds) for c in (config, quick)]
    much, little = (sum(map(expected_seconds, found)) for found in runs)
    assert little < much / 100
    assert math.isfinite(little)


def test_scores_that_are_not_ours_are_named(config):
    run = runs_of(config)[0]
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.json").write_text('{"summary": {"novel pose": {"ours": {}}}}')
    with pytest.raises(UserError, match=r"metrics\.json: expected the scores of an evaluation"):
        read_outcome(run, "test")
    (run.folder / "metrics.json").write_text('{"summary": {}}')
    with pytest.raises(UserError, match="expected scores of novel poses, found none"):
        read_outcome(run, "test")


def test_times_that_are_not_ours_are_named(tmp_path):
    assert read_times(tmp_path) == {}
    (tmp_path / "times.csv").write_text("setting,clip_ms\ndefault,fast\n")
    with pytest.raises(UserError, match=r"times\.csv: expected times of settings \(ValueError"):
        read_times(tmp_path)


def test_times_are_compared_clip_by_clip(config, monkeypatch, tmp_path):
    now = [0.0]

    def takes(run: TrainConfig, *_):
        def work(clip: int) -> None:
            now[0] += clip * (3 if run.clip.frames == 1 else 1)

        return work

    monkeypatch.setattr(ablation_times, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(ablation_times, "_trainer_of", takes)
    settings = config.studies(most_frames=3)["frames"].settings
    ablation_times.measure_times(tmp_path, settings, (), clips=4)
    found = read_times(tmp_path)
    assert {name: (time.clip_ms, time.ratio) for name, time in found.items()} == {
        "default": (2500, 1), "frames1": (7500, 3)
    }  # fmt: skip
    monkeypatch.setattr(ablation_times, "_trainer_of", None)  # all is known: nothing is measured again
    ablation_times.measure_times(tmp_path, settings, (), clips=4)
    assert read_times(tmp_path) == found
