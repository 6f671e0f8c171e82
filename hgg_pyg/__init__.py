"""Human Gaussian Graph in PyTorch Geometric: a few seconds of multi-view video to an animatable Gaussian avatar.

What is named here is loaded when it is first asked for: `import hgg_pyg.nn` brings layers, and no readers of files.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Threads that wait for work must sleep: spinning ones make training several times slower on a machine that does
# anything else. GNU OpenMP reads this once, when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from graphs import GraphSpec
    from hgg_pyg.avatar import Animator, Avatar, Motion
    from hgg_pyg.body import BodyModel, load_body, pose_gaussians, unpose_gaussians
    from hgg_pyg.config import ClipConfig
    from hgg_pyg.model.config import ModelConfig
    from hgg_pyg.model.network import HGGNet
    from hgg_pyg.nn import GraphBlock, InterConv, IntraConv, ReadoutConv
    from hgg_pyg.types import BodyPose, Cameras, Gaussians, RenderOutput, UserError

__all__ = [
    "Animator",
    "Avatar",
    "BodyModel",
    "BodyPose",
    "Cameras",
    "ClipConfig",
    "Gaussians",
    "GraphBlock",
    "GraphSpec",
    "HGGNet",
    "InterConv",
    "IntraConv",
    "ModelConfig",
    "Motion",
    "ReadoutConv",
    "RenderOutput",
    "UserError",
    "load_body",
    "pose_gaussians",
    "unpose_gaussians",
]

_ROOMS = {
    "graphs": ("GraphSpec",),
    "hgg_pyg.avatar": ("Animator", "Avatar", "Motion"),
    "hgg_pyg.body": ("BodyModel", "load_body", "pose_gaussians", "unpose_gaussians"),
    "hgg_pyg.config": ("ClipConfig",),
    "hgg_pyg.model.config": ("ModelConfig",),
    "hgg_pyg.model.network": ("HGGNet",),
    "hgg_pyg.nn": ("GraphBlock", "InterConv", "IntraConv", "ReadoutConv"),
    "hgg_pyg.types": ("BodyPose", "Cameras", "Gaussians", "RenderOutput", "UserError"),
}


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
