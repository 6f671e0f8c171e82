"""Human Gaussian Graph in PyTorch Geometric: a few seconds of multi-view video to an animatable Gaussian avatar."""

import os

# Threads that wait for work must sleep: spinning ones make training several times slower on a machine that does
# anything else. GNU OpenMP reads this once, when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from graphs import GraphSpec
from hgg_pyg.body import BodyModel, load_body, pose_gaussians, unpose_gaussians
from hgg_pyg.config import ClipConfig, ModelConfig
from hgg_pyg.model import Avatar, HumanGaussianGraph
from hgg_pyg.nn import GraphBlock, InterConv, IntraConv, ReadoutConv
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, Cameras, Gaussians, RenderOutput, UserError

__all__ = [
    "Avatar",
    "BodyModel",
    "BodyPose",
    "Cameras",
    "ClipConfig",
    "Gaussians",
    "GraphBlock",
    "GraphSpec",
    "HumanGaussianGraph",
    "InterConv",
    "IntraConv",
    "ModelConfig",
    "ReadoutConv",
    "RenderOutput",
    "UserError",
    "load_body",
    "pose_gaussians",
    "render",
    "unpose_gaussians",
]
