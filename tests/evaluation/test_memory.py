"""What an evaluation keeps in memory is what its report shows, however many the subjects are."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture_set import open_captures
from hgg_pyg.data.frames import frame_sources
from hgg_pyg.evaluation import evaluator
from hgg_pyg.evaluation.evaluator import Extras, evaluate
from hgg_pyg.evaluation.reporting import Report
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet


def held() -> int:
    """Bytes of all tensors, and of arrays that have them to themselves."""
    gc.collect()
    things = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, torch.nn.Parameter)]
    return sum(thing.untyped_storage().nbytes() for thing in things)


def test_images_are_kept_of_a_bounded_number_of_subjects(
    tiny_captures: Path, body: BodyModel, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(evaluator, "_SHOWN_SUBJECTS", 2)
    backbone = make_backbone(BackboneConfig())
    settings = ModelConfig(num_layers=1, hidden_channels=8, heads=2, in_channels=backbone.feature_dim)
    model, capture = HGGNet(settings), open_captures(tiny_captures, body=body).test[0]

    def kept(subjects: int) -> tuple[int, Report]:
        captures = [replace(capture, name=f"subject_{i}") for i in range(subjects)]
        sources = frame_sources(captures, 4, backbone, body, tmp_path / "cache")
        before = held()
        extras = Extras(regions=False, timing=False, shown=1)
        report = evaluate(model, sources, GraphSpec(), 1, limit=2, extras=extras)
        return held() - before, report

    few, first = kept(2)
    many, report = kept(4)
    assert many == few > 0
    for found, subjects in ((first, ("0", "1")), (report, ("0", "3"))):
        for task in found.tasks:
            names = [shot.subject for shot in found.gallery.typical(task)]
            assert names == [f"subject_{i}" for i in np.repeat(subjects, 2)]
    assert "sheet.png shows 2 of 4 subjects, evenly spaced" in report.notes
    assert len({score.subject for score in report.images}) == 4
