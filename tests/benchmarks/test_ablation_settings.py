"""`python -m benchmarks.ablation --settings`: how settings are read, what their runs are called, how they run."""

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.ablation import AblationBenchmark
from benchmarks.ablation_settings import name_changes, read_settings
from graphs import GraphSpec
from hgg_pyg.config import ClipConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.training.losses import LossConfig
from hgg_pyg.training.run import TrainConfig
from tests import python

ROOT = Path(__file__).parents[2]
BASE = TrainConfig()


def test_values_are_of_the_type_of_their_field():
    texts = [
        "GATv2: model.conv=GATv2Conv",
        "bare one:  model.conv=TransformerConv   model.conv_options=root_weight=False,beta=True ",
        "sizes: model.num_layers=3 lr=1e-3 loss.lpips=0.5 clip.frames=4",
        "no loops: graph.self_loops=false model.fold=False model.shift=surface",
        "one: graph.relations=near",
    ]
    default, gat, bare, sizes, loops, one = read_settings(texts, BASE)
    assert default.default
    assert default.config == BASE
    assert [s.label for s in (default, gat, bare)] == ["default", "GATv2", "bare one"]
    assert gat.config == replace(BASE, model=ModelConfig(conv="GATv2Conv"))
    options = ("root_weight=False", "beta=True")
    assert bare.config.model == ModelConfig(conv="TransformerConv", conv_options=options)
    assert sizes.config == replace(
        BASE, lr=1e-3, model=ModelConfig(num_layers=3), loss=LossConfig(lpips=0.5), clip=ClipConfig(frames=4)
    )
    assert (loops.config.graph, loops.config.model) == (
        GraphSpec(self_loops=False), ModelConfig(fold=False, shift="surface")
    )  # fmt: skip
    assert one.config.graph == GraphSpec(relations=("near",))
    assert [s.name for s in (default, gat, bare, sizes, loops, one)] == [
        "default",
        "conv-GATv2Conv",
        "conv-TransformerConv-conv_options-root_weight-False-beta-True",
        "lr0.001-lpips0.5-num_layers3-frames4",
        "shift-surface-fold-False-self_loops-False",
        "relations-near",
    ]


def test_names_of_runs_are_safe_and_differ():
    options = [(), ("bias=/../é x",), ("bias=" + "b" * 300,), ("bias=" + "b" * 301,)]
    configs = [replace(BASE, model=ModelConfig(conv="GATv2Conv", conv_options=values)) for values in options]
    names = [name_changes(BASE, config) for config in configs]
    assert names[0] == "conv-GATv2Conv"
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,130}", name)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["model.conv=GATv2Conv"], "expected LABEL: FIELD=VALUE ..., found 'model.conv=GATv2Conv'"),
        ([": model.conv=GATv2Conv"], "expected LABEL: FIELD=VALUE"),
        (["A:"], "expected LABEL: FIELD=VALUE"),
        (["A: fast"], "A: expected FIELD=VALUE, found 'fast'"),
        (["A: model.convs=GATv2Conv"], r"A: expected one of steps, .*model\.conv, .*; found 'model\.convs'$"),
        (["A: data=captures/other"], r"found 'data' \(all settings share it\)"),
        (["A: model.num_layers=2.5"], r"A: ModelConfig\.num_layers: expected an integer, found '2\.5'"),
        (["A: model.fold=maybe"], r"ModelConfig\.fold: expected True or False, found 'maybe'"),
        (["A: model.norm=both"], r"ModelConfig\.norm: expected one of pre, post, found 'both'"),
        (["A: loss.alpha=all"], r"LossConfig\.alpha: expected a number, found 'all'"),
        (["A: model.conv=GATv9Conv"], r"A: conv: expected one of auto, attention, fused, .*found 'GATv9Conv'"),
        (["A: graph.relations=binds,nearer"], "A: GraphSpec.relations: .*nearer"),
        (["A: lr=1", "A: lr=2"], "A: expected labels that differ"),
        (["default: lr=1"], "default: expected labels that differ"),
        (["A: lr=1", "B: lr=1.0"], "B: expected another setting than 'A', found the same"),
        (["A: model.num_layers=2"], "A: expected another setting than 'default', found the same"),
    ],
)
def test_wrong_settings_are_refused(texts, message):
    with pytest.raises(ValueError, match="settings: " + ("" if message.startswith("expected") else ".*") + message):
        AblationBenchmark(settings=tuple(texts))


def test_settings_go_alone_unless_studies_are_asked_for():
    settings = ("GATv2: model.conv=GATv2Conv",)
    assert AblationBenchmark(settings=settings).chosen == ("settings",)
    assert AblationBenchmark(settings=settings, study=("hops",)).chosen == ("hops",)
    assert AblationBenchmark(settings=settings, study=("all",)).chosen[-2:] == ("parts", "settings")
    assert "settings" not in AblationBenchmark().chosen
    assert "settings" not in AblationBenchmark().studies(None)
    study = AblationBenchmark(settings=settings, model=ModelConfig(num_layers=1)).studies(None)["settings"]
    assert [(s.label, s.name, s.config.model) for s in study.settings] == [
        ("default", "default", ModelConfig(num_layers=1)),
        ("GATv2", "conv-GATv2Conv", ModelConfig(num_layers=1, conv="GATv2Conv")),
    ]


OWN = """
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear

class Mean(MessagePassing):
    def __init__(self, in_channels, out_channels, heads=1):
        super().__init__(aggr="mean")
        self.lin = Linear(in_channels[0], out_channels)

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=(self.lin(x[0]), x[1]), size=(len(x[0]), len(x[1])))

    def message(self, x_j):
        return x_j
"""


@pytest.mark.slow
def test_a_conv_from_a_file_of_ones_own(tiny_captures, tmp_path):
    (tmp_path / "own_conv.py").write_text(OWN)
    command = [
        *("-m", "benchmarks.ablation", "--data", tiny_captures, "--seeds", "1", "--steps", "2"),
        *("--accumulation", "1", "--clip.frames", "2", "--clip.target-views", "4", "--timed-clips", "0"),
        *("--model.num-layers", "1", "--model.hidden-channels", "8", "--model.heads", "2", "--workers", "1"),
        *("--table", "table.csv", "--settings", "Mean of mine: model.conv=own_conv:Mean"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    done = python.run(*command, cwd=tmp_path, env=environment, forks=True)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [(row["setting"], row["default"], row["run"], row["conv"]) for row in rows] == [
        ("default", "True", "default-seed0", "auto"),
        ("Mean of mine", "False", "conv-own_conv-Mean-seed0", "own_conv:Mean"),
    ]
    assert int(rows[0]["parameters"]) > int(rows[1]["parameters"])
    assert "Mean of mine" in done.stdout
