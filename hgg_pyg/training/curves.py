"""Learning curves, plotted whenever a run saves its state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from hgg_pyg.io.files import write_atomically
from hgg_pyg.training.checkpoint import StepRecord

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CURVES_FILE = "curves.png"


def save_curves(path: Path, history: Sequence[StepRecord]) -> None:
    """Loss, PSNR and learning rate over optimiser steps.

    Raises:
        UserError: the file cannot be written.
    """
    steps = [record.step for record in history]
    figure, (loss, psnr, rate) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    loss.semilogy(steps, [record.loss for record in history], lw=0.8, color="tab:blue")
    loss.set_ylabel("loss")
    psnr.plot(steps, [record.psnr for record in history], lw=0.8, color="tab:blue", label="training")
    seen = [(record.step, record.val_psnr) for record in history if record.val_psnr is not None]
    psnr.plot(*zip(*seen, strict=True), "o-", color="tab:orange", label="validation subject") if seen else None
    psnr.set_ylabel("PSNR, dB")
    psnr.legend()
    rate.plot(steps, [record.lr for record in history], color="tab:gray")
    rate.set_ylabel("learning rate")
    for axis in (loss, psnr, rate):
        axis.set_xlabel("optimiser step")
        axis.grid(alpha=0.3)
    try:
        write_atomically(path, lambda p: figure.savefig(p, dpi=120))
    finally:
        plt.close(figure)
