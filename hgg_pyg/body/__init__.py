"""Bodies of SMPL's family and linear blend skinning."""

from hgg_pyg.body.arrays import BodyArrays, read_body, write_body
from hgg_pyg.body.joints import JOINTS, SMPLX_JOINTS
from hgg_pyg.body.model import BodyModel, Hands, PosedBody, load_body
from hgg_pyg.body.skinning import pose_gaussians, unpose_gaussians
from hgg_pyg.body.tangents import tangent_frames

__all__ = [
    "JOINTS",
    "SMPLX_JOINTS",
    "BodyArrays",
    "BodyModel",
    "Hands",
    "PosedBody",
    "load_body",
    "pose_gaussians",
    "read_body",
    "tangent_frames",
    "unpose_gaussians",
    "write_body",
]
