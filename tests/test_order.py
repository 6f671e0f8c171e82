"""What options and the files that they name can say is looked at before any work: no captures are made or opened."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.ablation import AblationBenchmark
from benchmarks.attention import AttentionBenchmark
from benchmarks.claim import ClaimBenchmark
from benchmarks.frames_cache import FramesCacheBenchmark
from benchmarks.headroom import HeadroomBenchmark
from benchmarks.layers import LayersBenchmark
from benchmarks.loading import LoadingBenchmark
from benchmarks.pipeline import PipelineBenchmark
from benchmarks.render import RenderBenchmark
from benchmarks.render_gallery import GalleryConfig
from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig, LGMConfig, PlyConfig, SurfaceBackbone
from hgg_pyg.check import CheckConfig
from hgg_pyg.config import ClipConfig
from hgg_pyg.evaluate import EvaluateConfig
from hgg_pyg.finetuning.config import FinetuneConfig
from hgg_pyg.inspect import InspectConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.precompute import PrecomputeConfig
from hgg_pyg.synthesize import SynthesizeConfig
from hgg_pyg.training.run import MODEL_FOLDER, TrainConfig, create_run
from hgg_pyg.types import UserError

WORK = ("synthesize", "open_captures", "start_workers", "examine", "measure", "write_files", "synthetic_avatar")
COMMANDS = {TrainConfig: "hgg_pyg.train", FinetuneConfig: "hgg_pyg.finetune", SynthesizeConfig: "hgg_pyg.synthesize"}
WITH_EDGE_FEATURES = GraphSpec(relations=("binds", "examples.own_relation:mirrors"))
LGM_WITHOUT_FILE = BackboneConfig(name="lgm")
LGM_WITH_TEXT = BackboneConfig(name="lgm", lgm=LGMConfig(checkpoint=Path(__file__)))
PLY_WITHOUT_FOLDER = BackboneConfig(name="ply", ply=PlyConfig(folder=Path("nowhere")))
NO_FOLDER = Path(__file__) / "in_a_file"  # nobody can make it

CASES: dict[str, tuple[Any, str]] = {
    "train lgm": (TrainConfig(backbone=LGM_WITHOUT_FILE), "expected weights, found none"),
    "train lgm file": (TrainConfig(backbone=LGM_WITH_TEXT), "test_order.py: expected a safetensors file"),
    "train ply": (TrainConfig(backbone=PLY_WITHOUT_FOLDER), "expected a folder of .ply files, found nowhere"),
    "train body": (TrainConfig(body=Path("none.npz")), "none.npz: expected a body file"),
    "train broken body": (TrainConfig(body=Path(__file__)), "test_order.py"),
    "train conv": (TrainConfig(model=ModelConfig(conv="ChebConv")), "conv ChebConv: expected a layer"),
    "train edges": (
        TrainConfig(model=ModelConfig(conv="SAGEConv"), graph=WITH_EDGE_FEATURES),
        "conv SAGEConv: expected a layer that takes edge features",
    ),
    "train out": (TrainConfig(out=NO_FOLDER), "--out .*in_a_file: expected a folder that can be written"),
    "train cache": (TrainConfig(cache=NO_FOLDER), "--cache .*in_a_file: expected a folder that can be written"),
    "precompute lgm": (PrecomputeConfig(backbone=LGM_WITHOUT_FILE), "expected weights, found none"),
    "precompute body": (PrecomputeConfig(body=Path("none.npz")), "none.npz: expected a body file"),
    "precompute cache": (PrecomputeConfig(cache=NO_FOLDER), "--cache .*in_a_file: expected a folder"),
    "finetune file": (FinetuneConfig(checkpoint=Path("none")), "none: expected LGM's weights, found no such file"),
    "finetune body": (FinetuneConfig(body=Path("none.npz")), "none.npz: expected a body file"),
    "finetune out": (FinetuneConfig(out=NO_FOLDER), "--out .*in_a_file: expected a folder"),
    "evaluate run": (EvaluateConfig(Path("nowhere")), "nowhere/config.json: expected the configuration of a run"),
    "evaluate data": (EvaluateConfig(Path("run"), data=Path("nowhere")), "nowhere"),
    "evaluate also": (EvaluateConfig(Path("run"), also=(Path("nowhere"),)), "nowhere/config.json: expected"),
    "evaluate also without a model": (EvaluateConfig(Path("run"), also=(Path("empty"),)), "model.json: expected a s"),
    "evaluate method": (EvaluateConfig(Path("run"), method=("a=nowhere",)), "--method a=nowhere: expected a folder"),
    "evaluate name": (EvaluateConfig(Path("run"), method=("ours=x",)), "expected a name of its own"),
    "evaluate out": (EvaluateConfig(Path("run"), out=NO_FOLDER), "--out .*in_a_file: expected a folder"),
    "evaluate images": (EvaluateConfig(Path("run"), save_images=NO_FOLDER), "--save-images .*in_a_file: expected"),
    "inspect run": (InspectConfig(Path("nowhere")), "nowhere/config.json: expected the configuration of a run"),
    "inspect out": (InspectConfig(Path("run"), out=NO_FOLDER), "--out .*in_a_file: expected a folder"),
    "check data": (CheckConfig(Path("nowhere")), "nowhere"),
    "check out": (CheckConfig(Path("data"), out=NO_FOLDER), "--out .*in_a_file: expected a folder"),
    "check body": (CheckConfig(Path("data"), body=Path("none.npz")), "none.npz: expected a body file"),
    "synthesize": (SynthesizeConfig(NO_FOLDER), "--out .*in_a_file: expected a folder"),
    "ablation lgm": (AblationBenchmark(backbone=LGM_WITHOUT_FILE), "expected weights, found none"),
    "ablation body": (AblationBenchmark(body=Path("none.npz")), "none.npz: expected a body file"),
    "ablation table": (AblationBenchmark(table=NO_FOLDER / "a.csv"), "--table .*in_a_file: expected a folder"),
    "ablation out": (AblationBenchmark(out=NO_FOLDER), "--out .*in_a_file: expected a folder"),
    "headroom": (HeadroomBenchmark(Path("data"), backbone=LGM_WITHOUT_FILE), "expected weights, found none"),
    "headroom out": (HeadroomBenchmark(Path("data"), out=NO_FOLDER / "a.csv"), "--out .*in_a_file: expected a folder"),
    "attention": (AttentionBenchmark(variants=("of mine",)), "variants: expected some of"),
    "loading folder": (LoadingBenchmark(folder=NO_FOLDER), "--folder .*in_a_file: expected a folder"),
    "frames_cache folder": (FramesCacheBenchmark(folder=NO_FOLDER), "--folder .*in_a_file: expected a folder"),
    "pipeline captures": (PipelineBenchmark(captures=NO_FOLDER), "--captures .*in_a_file: expected a folder"),
} | {
    f"{kind.__name__} out": (kind(out=NO_FOLDER / "a.csv"), "--out .*in_a_file: expected a folder that can be written")
    for kind in (AttentionBenchmark, LayersBenchmark, ClaimBenchmark, RenderBenchmark, LoadingBenchmark,
                 FramesCacheBenchmark, PipelineBenchmark, GalleryConfig)
}  # fmt: skip
if not torch.cuda.is_available():
    CASES |= {
        f"{kind.__name__} cuda": (kind(device="cuda"), "device: expected one that is usable here, found cuda")
        for kind in (AttentionBenchmark, LayersBenchmark, ClaimBenchmark, RenderBenchmark)
    }


@pytest.fixture(scope="module")
def place(tiny_captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with captures, a run, and a run without its network."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "data").symlink_to(tiny_captures)
    model = ModelConfig(num_layers=1, hidden_channels=8, heads=2)
    for name in ("run", "empty"):
        create_run(TrainConfig(data=tiny_captures, name=name, out=folder, model=model, clip=ClipConfig(frames=2)))
    HGGNet(replace(model, in_channels=SurfaceBackbone().feature_dim)).save(folder / "run" / MODEL_FOLDER)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_wrong_options_are_refused_before_any_work(case: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, message = CASES[case]
    command = importlib.import_module(COMMANDS.get(type(config), type(config).__module__))
    begins = {*WORK} - ({"synthesize"} if isinstance(config, SynthesizeConfig) else set())
    for module in (command, importlib.import_module("hgg_pyg.training.trained")):
        for name in begins & vars(module).keys():
            monkeypatch.setattr(module, name, lambda *_, name=name, **__: pytest.fail(f"{name} is begun"))
    monkeypatch.chdir(place)
    with pytest.raises(UserError, match=message) as refused:
        command.main(config)
    assert "\n" not in str(refused.value)
    assert not (place / "captures").exists()
