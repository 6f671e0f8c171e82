"""The people that the parts look at."""

from __future__ import annotations

from benchmarks.gpu_parts.captures import capture_size
from benchmarks.gpu_parts.setting import Setting
from hgg_pyg.backbones import Backbone
from hgg_pyg.data.capture_set import load_body_for, open_captures
from hgg_pyg.data.frames import FrameSource, frame_sources

VIEWS = 4
"""input cameras"""


def sources(setting: Setting, backbone: Backbone) -> dict[str, tuple[FrameSource, ...]]:
    """Captures of the splits "train" and "val" at their own size.

    Raises:
        UserError: there are no captures: they could not be made, or are not made yet.
    """
    body = load_body_for(setting.captures)
    captures = open_captures(setting.captures, capture_size(setting.toy).size, body)
    return {
        split: frame_sources(getattr(captures, split), VIEWS, backbone, body, setting.work / "cache")
        for split in ("train", "val")
    }
