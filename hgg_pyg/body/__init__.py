"""SMPL bodies and linear blend skinning."""

from hgg_pyg.body.model import JOINTS, BodyModel, PosedBody, load_body
from hgg_pyg.body.skinning import pose_gaussians, unpose_gaussians

__all__ = ["JOINTS", "BodyModel", "PosedBody", "load_body", "pose_gaussians", "unpose_gaussians"]
