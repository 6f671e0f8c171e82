"""The seconds after the forward pass: poses mended, avatars polished, by the input images alone."""

from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.fit import Record, Refined, refine
from hgg_pyg.refine.passes import refine_pass
from hgg_pyg.refine.poses import mend_poses, poses_by_masks

__all__ = ["Record", "RefineConfig", "Refined", "mend_poses", "poses_by_masks", "refine", "refine_pass"]
