"""Captures on disk: multi-view images, masks, cameras and SMPL poses; and the clips that are made of them."""

from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import CaptureSet, load_body_for, open_captures
from hgg_pyg.data.clip_input import load_clip
from hgg_pyg.data.clips import clip_graph
from hgg_pyg.data.frames import FrameSource, compute_missing, frame_sources
from hgg_pyg.data.usable import some_usable

__all__ = [
    "Capture",
    "CaptureSet",
    "FrameSource",
    "clip_graph",
    "compute_missing",
    "frame_sources",
    "load_body_for",
    "load_clip",
    "open_captures",
    "some_usable",
]
