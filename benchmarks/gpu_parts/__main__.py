"""`python -m benchmarks.gpu_parts SETTING`: one part, in this process. `benchmarks.gpu` starts it."""

from __future__ import annotations

import importlib
import logging
import sys

import torch

from benchmarks.gpu_parts.parts import PARTS
from benchmarks.gpu_parts.setting import Setting

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    setting = Setting.from_json(sys.argv[1])
    torch.set_num_threads(setting.threads)
    importlib.import_module(f"benchmarks.gpu_parts.{PARTS[setting.part].module}").run(setting)
