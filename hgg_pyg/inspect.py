"""`python -m hgg_pyg.inspect RUN`: what a trained network attends to and what it changes, in images and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hgg_pyg.config import check_choices
from hgg_pyg.evaluation.inspection import findings_of, save_pages, save_summary, table
from hgg_pyg.io.files import make_folder
from hgg_pyg.runtime import run_command
from hgg_pyg.training.run import read_config
from hgg_pyg.training.trained import load_subject


@dataclass(frozen=True)
class InspectConfig:
    """What to look into, and on whom."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of a training run"""
    data: Path | None = None
    """folder of captures; by default where the run found them"""
    body: Path | None = None
    """body model file of SMPL or SMPL-X (.npz, .pkl) or its folder; by default where the run found it"""
    cache: Path | None = None
    """folder where per-frame Gaussians are stored; by default the run's"""
    subject: str | None = None
    """name of a test subject; by default the first"""
    out: Path | None = None
    """folder for summary.json and the images; by default inspect in the run's folder"""

    def __post_init__(self) -> None:
        check_choices(self)


def main(config: InspectConfig) -> None:
    """Show where a trained network's attention goes and what its read-out changes, on one test subject."""
    read_config(config.run)  # first: nothing is made where there is no run
    out = config.out or config.run / "inspect"
    make_folder(out, "--out")
    found = findings_of(load_subject(config.run, config.data, config.subject, config.body, config.cache))
    pages = save_pages(out, found)
    save_summary(out / "summary.json", found)
    print(table(found))
    print(f"{out} holds summary.json and {', '.join(page.name for page in pages)}")


if __name__ == "__main__":
    run_command(InspectConfig, main)
