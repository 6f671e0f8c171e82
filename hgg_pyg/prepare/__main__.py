"""`python -m hgg_pyg.prepare --videos DIR --calibration FILE --out DIR`: ordinary videos to a capture."""

from __future__ import annotations

from hgg_pyg.prepare.config import PrepareConfig
from hgg_pyg.prepare.pipeline import prepare
from hgg_pyg.runtime import run_command


def main(config: PrepareConfig) -> None:
    """Turn videos of a person from calibrated cameras into a capture: masks, landmarks, body poses."""
    prepare(config)


if __name__ == "__main__":
    run_command(PrepareConfig, main)
