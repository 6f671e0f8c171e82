"""The square around the person in every image."""

from __future__ import annotations

import numpy as np
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.types import BodyPose, Cameras

_REACH = 0.2  # metres from a joint to the end of what belongs to it: crown, fingertips, shoes, clothes
_MARGIN = 1.08


def person_windows(body: BodyModel, poses: BodyPose, cameras: Cameras) -> np.ndarray:
    """Squares that hold every joint of the posed body with what is around it.

    Seen from d metres away, what reaches r metres from a joint ends f r / d pixels from it. A camera that has the
    person behind it, or beside it, gets its whole image, as does one that sees it at no finite place,
    or as a point.

    Args:
        body: that is posed.
        poses: F frames.
        cameras: V, at the size that windows are in pixels of.

    Returns:
        [F, V, 3] left, top, side, float64
    """
    joints = body.posed_joints(poses)
    seen = torch.einsum("vab,tjb->tvja", cameras.viewmats[:, :3, :3], joints) + cameras.viewmats[:, None, :3, 3]
    depth = seen[..., 2:]
    focal = torch.diagonal(cameras.Ks, dim1=-2, dim2=-1)[:, None, :2]
    pixels = seen[..., :2] / depth * focal + cameras.Ks[:, None, :2, 2]
    reach = _REACH * focal / depth
    low, high = (pixels - reach).amin(2), (pixels + reach).amax(2)
    side = (high - low).amax(-1, keepdim=True) * _MARGIN
    windows = torch.cat([(low + high - side) / 2, side], -1).double()
    longest = float(max(cameras.width, cameras.height))
    whole = torch.tensor([(cameras.width - longest) / 2, (cameras.height - longest) / 2, longest], dtype=torch.float64)
    hidden = (
        ~(windows.isfinite().all(-1) & (side[..., 0] > 0))
        | (depth <= 0.1).any(2)[..., 0]
        | (high <= 0).any(-1)
        | (low >= torch.tensor([cameras.width, cameras.height])).any(-1)
    )
    return torch.where(hidden[..., None], whole, windows).numpy()
