"""Command: write synthetic captures of clothed people in motion.

python -m hgg_pyg.synthesize --out captures
"""

from __future__ import annotations

import logging

from hgg_pyg.data.synthetic import SynthesizeConfig, synthesize
from hgg_pyg.runtime import run_command

log = logging.getLogger(__name__)


def main(config: SynthesizeConfig) -> None:
    """Write captures of clothed people in motion, in the folder layout of a user's own captures."""
    folder = synthesize(config)
    log.info("%s: %d subjects, %d frames, %d cameras", folder, config.subjects, config.frames, config.views)


if __name__ == "__main__":
    run_command(SynthesizeConfig, main)
