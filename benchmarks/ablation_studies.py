"""The settings that `benchmarks.ablation` compares: each changes one thing of a configuration of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from benchmarks.ablation_settings import Setting, name_changes, read_settings
from hgg_pyg.training.run import TrainConfig

StudyName = Literal[
    "components", "presets", "layers", "binding", "hops", "tokens", "readout", "frames", "parts", "settings"
]
STUDY_NAMES: tuple[StudyName, ...] = get_args(StudyName)

_PAPERS_BASELINE = 21.327  # dB, Table 2 (a); L = 0 has the numbers of "w.o. intra"
_PAPERS_COMPONENTS = {"no intra": 21.902, "no inter": 23.105, "full": 24.013}
_PAPERS_LAYERS = {0: 21.902, 1: 23.455, 3: 23.925, 6: 24.013}
_NEAREST = 4  # vertices that the third kind of read-out attends to


@dataclass(frozen=True)
class Study:
    """Settings that differ in one thing, the default among them."""

    name: StudyName
    title: str
    across: str
    """what differs, in words"""
    settings: tuple[Setting, ...]


def make_study(
    name: StudyName,
    base: TrainConfig,
    release_tokens: int,
    most_frames: int | None,
    settings: Sequence[str] = (),
) -> Study:
    """The settings of a study around a configuration.

    Args:
        name: which study.
        base: the default setting; its value is among those of every study but `readout`, `presets` and `parts`.
        release_tokens: S where the release has 20.
        most_frames: no T above this one but the default's; None where that is not known.
        settings: those of the study of this name, see `read_settings`.
    """
    if name == "settings":
        return Study(name, "settings", "what is changed", read_settings(settings, base))
    model, graph = base.model, base.graph
    if name == "components":
        return Study(name, "components (Table 2a)", "what the network has", _components(base))
    if name == "presets":
        # "paper" takes six layers of twice the width, a run of an hour; `layers` compares its depth.
        designs = {preset: base.preset(preset) for preset in ("demo", "recommended")}
        return Study(name, "presets", "what the network is given and how it answers", _designs(base, designs))
    if name == "parts":
        demo, recommended = base.preset("demo"), base.preset("recommended")
        designs = {
            "demo": demo,
            "surface shift": replace(demo, model=replace(demo.model, shift=recommended.model.shift)),
            "feedback": replace(demo, model=replace(demo.model, feedback=recommended.model.feedback)),
            "nearer\nneighbours": replace(demo, graph=recommended.graph),
        }
        return Study(name, "parts of the recommended preset", "what is changed, one by one", _designs(base, designs))
    if name == "layers":
        lines = {n: replace(base, model=replace(model, num_layers=n)) for n in sorted({0, 1, 3, 6, model.num_layers})}
        layers = (_setting(base, f"{n}", line, _papers_gain(_PAPERS_LAYERS.get(n))) for n, line in lines.items())
        return Study(name, "layers (Table 2b)", "L, pairs of intra + inter", tuple(layers))
    if name == "binding":
        configs = {k: replace(base, graph=replace(graph, k=k)) for k in sorted({1, 2, 4, graph.k})}
        return _values(name, "binding", "k, vertices a Gaussian binds to", base, configs)
    if name == "hops":
        configs = {d: replace(base, graph=replace(graph, hops=d)) for d in sorted({1, 2, 3, graph.hops})}
        return _values(name, "neighbourhood", "largest distance of neighbours, mesh edges", base, configs)
    if name == "tokens":
        values = sorted({1, 4, release_tokens, model.num_tokens})
        return _values(name, "query tokens", "S, tokens per vertex", base,
                       {s: replace(base, model=replace(model, num_tokens=s)) for s in values})  # fmt: skip
    if name == "readout":
        return Study(name, "read-out", "vertices a Gaussian reads, tokens per vertex", _readouts(base, release_tokens))
    frames = base.clip.frames
    values = [t for t in sorted({1, 2, 4, 8, 16, frames}) if most_frames is None or t <= most_frames or t == frames]
    return _values(name, "frames", "T, frames joined in a graph", base,
                   {t: replace(base, clip=replace(base.clip, frames=t)) for t in values})  # fmt: skip


def different_runs(studies: Sequence[Study], seeds: Sequence[int]) -> list[TrainConfig]:
    """All runs that the studies need, each once; those of the first seed come first."""
    runs = [s.run(seed) for seed in seeds for study in studies for s in study.settings]
    return list({run.name: run for run in runs}.values())


def expected_seconds(config: TrainConfig) -> float:
    """A guess of a run's training, in seconds of one core: 0.18 + 0.09 L S a clip.

    Measured within 20% on the demo's captures at 128 pixels, D = 64, on one core of a 2 core virtual machine, for
    L from 0 to 6 and S from 1 to 20; one relation of two is half the layers.
    """
    layers = config.model.num_layers * len(config.graph.relations) / 2
    return config.steps * config.accumulation * (0.18 + 0.09 * layers * config.model.num_tokens)


def _components(base: TrainConfig) -> tuple[Setting, ...]:
    """Direct binding, the network without one of the paper's relations, and all of it."""
    settings = [replace(_setting(base, "direct binding", base), trained=False, papers_gain=0.0)]
    for label, relation in (("no intra", "binds"), ("no inter", "near")):
        relations = tuple(name for name in base.graph.relations if name != relation)
        if relations and relations != base.graph.relations:
            # Feedback is of other frames too, which nothing is to be known of without their Gaussians.
            model = replace(base.model, feedback=0) if relation == "binds" else base.model
            config = replace(base, graph=replace(base.graph, relations=relations), model=model)
            settings.append(_setting(base, label, config, _papers_gain(_PAPERS_COMPONENTS[label])))
    return *settings, _setting(base, "full", base, _papers_gain(_PAPERS_COMPONENTS["full"]))


def _designs(base: TrainConfig, designs: Mapping[str, TrainConfig]) -> tuple[Setting, ...]:
    """The base with what presets differ in, as some configurations have it."""
    return tuple(
        _setting(
            base,
            label,
            replace(
                base,
                model=replace(base.model, shift=design.model.shift, feedback=design.model.feedback),
                graph=replace(base.graph, hops=design.graph.hops),
            ),
        )
        for label, design in designs.items()
    )


def _readouts(base: TrainConfig, release_tokens: int) -> tuple[Setting, ...]:
    """Eq. 17's attention: over one key, so none; over a vertex's tokens; over the tokens of the nearest vertices."""
    kinds = {
        "1 vertex,\n1 token\n(as written)": (1, 1),
        f"1 vertex,\n{release_tokens} tokens\n(as released)": (1, release_tokens),
        f"{_NEAREST} vertices,\n1 token": (_NEAREST, 1),
    }
    return tuple(
        _setting(
            base,
            label,
            replace(base, graph=replace(base.graph, readout_k=k), model=replace(base.model, num_tokens=tokens)),
        )
        for label, (k, tokens) in kinds.items()
    )


def _values(name: StudyName, title: str, across: str, base: TrainConfig, configs: dict[int, TrainConfig]) -> Study:
    return Study(name, title, across, tuple(_setting(base, f"{v}", config) for v, config in configs.items()))


def _setting(base: TrainConfig, label: str, config: TrainConfig, papers_gain: float | None = None) -> Setting:
    return Setting(label, config, name_changes(base, config), papers_gain=papers_gain)


def _papers_gain(psnr: float | None) -> float | None:
    return None if psnr is None else psnr - _PAPERS_BASELINE
