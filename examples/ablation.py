"""Two settings, trained and scored alike, and the table of what each gains over the paper's baseline.

Our layer beside PyG's GATv2Conv, on synthetic people of 32 pixels. This shows how to compare; its numbers mean nothing:
the networks are tiny and take four steps. On a command line, with captures of your own, the same is

    python -m benchmarks.ablation --data captures/mine --settings "GATv2: model.conv=GATv2Conv"
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.ablation import AblationBenchmark, main
from hgg_pyg.config import ClipConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.synthetic import SynthesizeConfig, synthesize


def compare(folder: Path) -> None:
    """Make captures, train each setting once, and write and print the table."""
    captures = SynthesizeConfig(folder / "captures", subjects=3, frames=4, views=6, size=32, workers=1)
    settings = AblationBenchmark(
        data=synthesize(captures),
        settings=("GATv2: model.conv=GATv2Conv",),
        model=ModelConfig(num_layers=1, hidden_channels=16, heads=2),
        clip=ClipConfig(frames=2, input_views=2, target_views=2),
        steps=4,
        accumulation=1,
        seeds=1,
        timed_clips=1,
        workers=2,
        out=folder / "runs",
        cache=folder / "cache",
        table=folder / "table.csv",
    )
    main(settings)


if __name__ == "__main__":  # each run is a process of its own, which imports this file again
    if len(sys.argv) > 1:  # a folder to keep: run again, it trains only what is not there yet
        compare(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as temporary:
            compare(Path(temporary))
