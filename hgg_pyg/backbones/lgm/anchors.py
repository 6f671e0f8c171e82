"""Where the rays of LGM's output pixels meet the posed body: a start for the positions of a network of ours."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from hgg_pyg.backbones.lgm.cameras import LGMFrame, crop_cameras
from hgg_pyg.backbones.lgm.network import LGM
from hgg_pyg.kernels.raycast import RayMesh
from hgg_pyg.types import Cameras


def anchors_for(
    network: LGM, cameras: Cameras, frame: LGMFrame, size: int, vertices: Tensor, faces: Tensor
) -> Tensor | None:
    """What a network needs to start from for one object: `body_anchors` over LGM's frame, or None.

    Args:
        network: anchored or not.
        cameras: the input views, over our world.
        frame: of the person.
        size: of the network's input, pixels.
        vertices: [N, 3] the posed body, our world, metres.
        faces: [F, 3]

    Returns:
        [1, M, 3]
    """
    if not network.unet.config.anchored:
        return None
    output = crop_cameras(cameras, frame, size // network.unet.shrinks)
    return body_anchors(frame.cameras_to_lgm(output), frame.points_to_lgm(vertices), faces)[None]


def body_anchors(cameras: Cameras, vertices: Tensor, faces: Tensor) -> Tensor:
    """A point on the ray of every pixel, view by view and row by row, at the depth of the body.

    A pixel whose ray misses the body takes the depth of the nearest pixel whose ray does not; in a view without any,
    the depth of the body's middle.

    Args:
        cameras: V, of the network's output, over the frame that the vertices are in.
        vertices: [N, 3] the posed body.
        faces: [F, 3]

    Returns:
        [V h w, 3] float32 on the vertices' device
    """
    mesh = RayMesh(vertices.detach().double().cpu().numpy(), faces.cpu().numpy())
    middle = vertices.mean(0).double().cpu().numpy()
    row, column = np.mgrid[: cameras.height, : cameras.width] + 0.5
    centers = np.stack([column, row, np.ones_like(row)], -1).reshape(-1, 3)
    found = []
    for viewmat, K in zip(cameras.viewmats.double().cpu().numpy(), cameras.Ks.double().cpu().numpy(), strict=True):
        rotation, origin = viewmat[:3, :3], -viewmat[:3, :3].T @ viewmat[:3, 3]
        rays = centers @ np.linalg.inv(K).T @ rotation  # of depth 1 along the camera's axis
        hits = mesh.cast(origin, rays)
        depth = np.full(len(rays), rotation[2] @ (middle - origin))
        if hits.met.any():
            missed = ~hits.met.reshape(row.shape)
            nearest = ndimage.distance_transform_edt(missed, return_distances=False, return_indices=True)
            assert nearest is not None
            depth = hits.per_ray(hits.distances).reshape(row.shape)[tuple(np.asarray(nearest))].reshape(-1)
        found.append(origin + depth[:, None] * rays)
    return torch.from_numpy(np.concatenate(found)).to(vertices.device, torch.float32)
