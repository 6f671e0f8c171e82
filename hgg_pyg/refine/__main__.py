"""`python -m hgg_pyg.refine CAPTURE --out DIR`: captures whose poses are mended once, to train and to evaluate on.

Poses of real captures are a few degrees off. Of some frames of each subject an avatar is made in one forward pass and
refined together with their poses and the shape; then every other frame's pose is fitted to it. DIR gets each subject's
folder in its own layout: images linked, poses mended, all else as it was; and report/SUBJECT.png, the body over images
before and after. A subject is there when all of it is; started again, the command goes on where it stopped. Exits with
1 if some subjects could not be mended.
"""

from __future__ import annotations

import sys

from hgg_pyg.mending.config import MendConfig
from hgg_pyg.mending.run import mend
from hgg_pyg.runtime import run_command


def main(config: MendConfig) -> None:
    """Mend the poses of a capture, or of every subject of a data set, and write captures with them."""
    if mend(config):
        sys.exit(1)


if __name__ == "__main__":
    run_command(MendConfig, main)
