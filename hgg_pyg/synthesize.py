"""Command: write synthetic captures of clothed people in motion.

python -m hgg_pyg.synthesize --out captures
python -m hgg_pyg.synthesize --out mvhumannet --layout mvhumannet_16
python -m hgg_pyg.synthesize --out dancers --motion dance my_capture.bvh
"""

from __future__ import annotations

import logging

from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig, synthesize
from hgg_pyg.synthetic.capture_writer import view_count

log = logging.getLogger(__name__)


def main(config: SynthesizeConfig) -> None:
    """Write captures of clothed people in motion, in the folder layout of a user's own captures or of a data set."""
    folder = synthesize(config)
    log.info(
        "%s: %d subjects, %d frames, %d cameras, laid out as %s",
        folder,
        config.subjects,
        config.frames,
        view_count(config),
        config.layout,
    )


if __name__ == "__main__":
    run_command(SynthesizeConfig, main)
