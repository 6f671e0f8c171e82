"""Whole layers with the same weights on the same graph: ours, torch_scatter's, PyG's and anemoi's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from torch import Tensor

from benchmarks.gpu_parts.attention import EDGES, degrees_known, on_tensor_cores
from benchmarks.gpu_parts.replay import replayed_contestant
from benchmarks.gpu_parts.setting import Setting, Sheet
from benchmarks.gpu_parts.stand_ins import use_stand_ins
from benchmarks.layer_cases import LAYERS, LayerCase, runnable
from benchmarks.layer_problem import LayerProblem
from benchmarks.model_problem import ModelProblem
from benchmarks.plots import draw_panels
from benchmarks.report import sweep_panels
from benchmarks.suite import Contestant, Limits, Result, run_case
from benchmarks.timing import Work
from benchmarks.workers import Worker

CHIEF = "fold + fused"
COPY = "copy of the features"
TENSOR_CORES, REPLAYED = f"{CHIEF}, tf32x3", f"{CHIEF}, CUDA graph"
_LIMITS = Limits(slow_s=20, patience_s=5)
_INTER = ("scatter", "fused", "TransformerConv", "TransformerConv, compiled", "anemoi")


class PeersProblem(LayerProblem):
    """See `LayerProblem`; with a copy of the features as a yardstick, ours on tensor cores and as a CUDA graph."""

    def contestant(self, name: str) -> Contestant:
        """A name from LAYERS, COPY, TENSOR_CORES or REPLAYED."""
        if name == COPY:
            return _copy(self.features)
        changed = {TENSOR_CORES: on_tensor_cores, REPLAYED: replayed_contestant}.get(name)
        return changed(super().contestant(CHIEF)) if changed else super().contestant(name)


def build(case: LayerCase) -> PeersProblem | ModelProblem:
    """The problem of a case, in a worker."""
    use_stand_ins()
    return ModelProblem(case) if case.kind == "model" else PeersProblem(case)


def cases(setting: Setting) -> list[LayerCase]:
    """The paper's size first: a layer of each kind and the six layers of its network. Then other numbers of edges."""
    chief = LayerCase(edges=EDGES[0], device=setting.device, skew="body" if degrees_known() else "half")
    if setting.toy:
        chief = LayerCase(edges=300, targets=30, features=8, heads=2, hidden_channels=16, hops=1, num_layers=1,
                          skew="half", device=setting.device)  # fmt: skip
    inter, model = replace(chief, kind="inter", shuffled=True), replace(chief, kind="model")
    others = (450,) if setting.toy else EDGES[1:]
    return [chief, *(replace(chief, edges=e) for e in others[:2]), inter, model,
            *(replace(chief, edges=e) for e in others[2:])]  # fmt: skip


def run(setting: Setting) -> None:
    """Check and time; a row for each layer of each case, and a plot over the number of edges."""
    sheet = Sheet(setting, nearest_search=use_stand_ins())
    todo, growth = cases(setting), {}
    with Worker("default", setting.threads, setting.device) as worker:
        for case in todo:
            names = _names(setting, case)
            found = run_case([worker], build, case, names, 1 if setting.toy else 7, limits=_LIMITS)
            about = {k: v for k, v in asdict(case).items() if k != "device"}
            chief = case.edges == todo[0].edges
            sheet.add({**about, "chief": chief, "name": name, **result.columns()} for name, result in found.items())
            if case.kind == "intra":
                growth[case.edges] = found
                _draw(setting, growth)


def _names(setting: Setting, case: LayerCase) -> list[str]:
    names = runnable(setting.device, [name for name in LAYERS if name != "GATv2Conv"])
    if case.kind == "model":
        return [name for name in names if name in ("scatter", CHIEF, f"{CHIEF}, bf16", "TransformerConv")]
    if setting.toy or case.edges != EDGES[0]:  # compiling takes long, again for every size
        names = [name for name in names if not LAYERS[name].compiled]
    if case.kind == "inter":
        return [name for name in names if name in _INTER]
    if CHIEF in names and setting.device == "cuda":
        names += [TENSOR_CORES, REPLAYED]
    return [*names, COPY]


def _copy(features: Tensor) -> Contestant:
    place = features.clone()

    def twice() -> None:
        place.copy_(features)
        place.copy_(features)

    return Contestant(_once(place, features), twice, check=None)


def _once(place: Tensor, features: Tensor) -> Work:
    return lambda: place.copy_(features)


def _draw(setting: Setting, growth: Mapping[int, Mapping[str, Result]]) -> None:
    panels = sweep_panels("edges E", sorted(growth.items()), ["default"])
    panels = [replace(panel, least=1e-3) for panel in panels]  # a GPU's milliseconds
    draw_panels(setting.out / "layers.png", f"Intra layer on {setting.device}, float32 unless said", panels)
