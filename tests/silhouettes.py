"""Whether a capture's cameras, poses and masks agree: the posed body, seen by each camera, against the mask."""

from __future__ import annotations

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture
from hgg_pyg.kernels.raycast import RayMesh


def silhouette_overlaps(capture: Capture, body: BodyModel) -> np.ndarray:
    """Intersection over union of the body's silhouette and the mask. [F, V]"""
    vertices, faces = body.pose(capture.poses).vertices.double().numpy(), body.faces.numpy()
    width, height = capture.cameras.width, capture.cameras.height
    across, down = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([across, down, np.ones_like(across)], -1).reshape(-1, 3)
    rotations = capture.cameras.viewmats[:, :3, :3].double().numpy()
    Ks, centers = capture.cameras.Ks.double().numpy(), capture.cameras.centers.double().numpy()
    overlaps = np.zeros((len(capture.frames), len(capture.camera_names)))
    for frame, surface in enumerate(vertices):
        mesh = RayMesh(surface, faces)
        for camera, (K, rotation, center) in enumerate(zip(Ks, rotations, centers, strict=True)):
            seen = mesh.cast(center, pixels @ np.linalg.inv(K).T @ rotation).met.reshape(height, width)
            person = capture.mask(frame, camera) > 0.5
            overlaps[frame, camera] = (seen & person).sum() / (seen | person).sum()
    return overlaps


def in_cameras(capture: Capture, body: BodyModel) -> np.ndarray:
    """The posed body as each camera has it before it: where it is seen, wherever the world's origin is. [F, V, N, 3]"""
    vertices = body.pose(capture.poses).vertices.double().numpy()
    views = capture.cameras.viewmats.double().numpy()
    return np.einsum("vab,fnb->fvna", views[:, :3, :3], vertices) + views[None, :, None, :3, 3]
