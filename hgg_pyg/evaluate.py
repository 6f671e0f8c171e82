"""`python -m hgg_pyg.evaluate RUN --data DIR`: novel views and novel poses of test subjects, beside direct binding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hgg_pyg.backbones import make_backbone
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.frames import frame_sources
from hgg_pyg.evaluation import Report, evaluate
from hgg_pyg.model import HumanGaussianGraph
from hgg_pyg.run import MODEL_FOLDER, read_config
from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, and on what."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of a training run"""
    data: Path | None = None
    """folder of captures; the run's own when none is given"""
    views: int | None = None
    """at most this many images a subject and task, evenly drawn; all when none is given"""
    out: Path | None = None
    """where metrics.json and sheet.png go; the run's folder when none is given"""


def main(config: EvaluateConfig) -> Report:
    """Evaluate a trained run on the test subjects of a folder of captures; leave metrics.json and sheet.png."""
    trained = read_config(config.run)
    model = HumanGaussianGraph.load(config.run / MODEL_FOLDER)
    data = config.data or trained.captures
    body = load_body_for(data, trained.body)
    if body.num_vertices != model.config.num_vertices:
        found = f"the body has {body.num_vertices} vertices"
        raise UserError(f"{config.run}: expected a body of {model.config.num_vertices} vertices, {found}")
    captures = open_captures(data, trained.image_size, body, trained.crop, trained.protocol)
    sources = frame_sources(
        captures.test, trained.clip.input_views, make_backbone(trained.backbone), body, trained.cache
    )
    if not sources:
        raise UserError(f"{data}: expected test subjects, found none")
    report = evaluate(
        model, sources, trained.graph, trained.clip.frames, config.views, seen_in_training=captures.shared_subjects
    )
    report.save(config.out or config.run)
    print(report.table())
    return report


if __name__ == "__main__":
    run_command(EvaluateConfig, main)
