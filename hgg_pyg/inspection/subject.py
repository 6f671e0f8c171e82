"""A trained run and one of its test subjects, as evaluation sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch_geometric.data import HeteroData

from graphs import GraphSpec
from hgg_pyg.data.clip_input import load_clip
from hgg_pyg.data.clips import even_frames, input_range
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.feedback import graph_for
from hgg_pyg.model import HumanGaussianGraph
from hgg_pyg.trained import open_run
from hgg_pyg.types import UserError


@dataclass(frozen=True)
class RunSubject:
    """A network in evaluation mode and the capture that it is looked at on."""

    model: HumanGaussianGraph
    source: FrameSource
    spec: GraphSpec
    frames: tuple[int, ...]  # T input frames, by position in the capture; the first is t0

    @cached_property
    def graph(self) -> HeteroData:
        """The graph of the input frames."""
        config = self.model.config
        predicted = [self.source.predict(frame) for frame in self.frames]
        clip = load_clip(self.source, self.frames, self.spec, images=config.feedback_frames, gaussians=predicted)
        return graph_for(clip, config)


def load_subject(run: Path, data: Path | None = None, subject: str | None = None) -> RunSubject:
    """Load a run and open one of the test subjects, with the input frames that evaluation gives it.

    Args:
        run: folder of a training run.
        data: folder of captures; the run's own when none is given.
        subject: its name; the first test subject when none is given.

    Raises:
        UserError: no run, no captures, another body, no such subject, or a way of attention that cannot run here.
    """
    trained = open_run(run, data)
    sources = trained.test_sources()
    names = [source.capture.name for source in sources]
    if subject is not None and subject not in names:
        shown = ", ".join(names[:20])
        raise UserError(f"--subject: expected a test subject of {trained.data} ({shown}), found {subject!r}")
    source = sources[0 if subject is None else names.index(subject)]
    frames = even_frames(0, input_range(source.capture), trained.config.clip.frames)
    return RunSubject(trained.model, source, trained.config.graph, frames)
