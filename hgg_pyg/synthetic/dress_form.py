"""The tailor's dummy: one subject's body, fine enough to cut clothes from, with the measures they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hgg_pyg.body import JOINTS, BodyModel
from hgg_pyg.kernels.raycast import RayMesh
from hgg_pyg.synthetic.skeleton import Skeleton, rotvecs_from_euler, skin
from hgg_pyg.synthetic.surface import Surface, vertex_normals

# Where the default body's features lie in its template, metres; the nearest vertex follows the shape.
_FEATURES = {"nose": (0, 0.4197, 0.1768), "left_eye": (0.029, 0.4609, 0.1501), "left_ear": (0.0851, 0.4536, 0.0446)}
_HANG_DEGREES = 78.0  # from the T-pose to hanging arms


@dataclass(frozen=True)
class DressForm:
    """A subject's bare body in the rest pose."""

    skeleton: Skeleton
    surface: Surface  # the body, subdivided once, with its own weights; its chart has hanging arms
    soft_weights: np.ndarray  # [n, J] the same weights smoothed, for all that is worn over the skin
    nose: np.ndarray  # [3]
    eye: np.ndarray  # [3] the left one
    ear: np.ndarray  # [3] the left one

    @property
    def cloth(self) -> Surface:
        """The body's surface with the soft weights: what garments are cut from."""
        return replace(self.surface, weights=self.soft_weights)

    @property
    def floor(self) -> float:
        """The height of the soles. y, metres"""
        return float(self.surface.vertices[:, 1].min())

    def height(self, joint: str) -> float:
        """The height of a joint in the rest pose. y, metres"""
        return float(self.skeleton[joint][1])

    def share(self, *joints: str) -> np.ndarray:
        """How much each vertex belongs to these joints, by the soft weights. [n] in [0, 1]"""
        return self.soft_weights[:, [JOINTS.index(joint) for joint in joints]].sum(1)


def make_dress_form(body: BodyModel, betas: np.ndarray) -> DressForm:
    """Shape the body and refine it. betas [B]"""
    shape = torch.as_tensor(betas, dtype=torch.float32)
    vertices = body.shaped_vertices(shape).numpy().astype(np.float64)
    joints = body.rest_joints(shape).numpy().astype(np.float64)
    skeleton = Skeleton(joints, body.parents.numpy(), JOINTS)
    faces, weights = body.faces.numpy().astype(np.int64), body.weights.numpy().astype(np.float64)
    normals = vertex_normals(vertices, faces)
    surface = Surface(vertices, faces, normals, weights, vertices, normals).subdivide()
    smooth, soft = surface.smoother(), surface.weights
    for _ in range(10):
        soft = smooth @ soft
    degrees = np.zeros_like(joints)
    degrees[JOINTS.index("left_shoulder"), 2] = -_HANG_DEGREES
    degrees[JOINTS.index("right_shoulder"), 2] = _HANG_DEGREES
    chart = skin(surface.vertices, soft, skeleton.joint_transforms(rotvecs_from_euler(degrees)))
    surface = replace(surface, chart=chart, chart_normals=vertex_normals(chart, surface.faces))
    template = body.shaped_vertices(torch.zeros(1)).numpy()
    features = {name: vertices[((template - point) ** 2).sum(1).argmin()] for name, point in _FEATURES.items()}
    return DressForm(skeleton, surface, soft, features["nose"], features["left_eye"], features["left_ear"])


def extent(
    surfaces: Sequence[Surface], angles: np.ndarray, heights: np.ndarray, axis: np.ndarray, reach: np.ndarray | float
) -> np.ndarray:
    """How far surfaces reach from an upright axis, looking in from a distance.

    Args:
        surfaces: in the rest pose.
        angles: [...] around the axis; 0 is forward (+z), 90 degrees the subject's left (+x). Radians.
        heights: [...] y, metres.
        axis: [3] a point on the axis; its y does not count.
        reach: [...] or a number, where the rays start, metres from the axis; anything farther out is not seen.

    Returns:
        [...] metres from the axis, 0 where there is nothing.
    """
    angles, heights, reach = np.broadcast_arrays(angles, heights, reach)
    starts = np.cumsum([0, *(len(surface) for surface in surfaces[:-1])])
    faces = np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=True)])
    mesh = RayMesh(np.concatenate([surface.vertices for surface in surfaces]), faces)
    outward = np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)], -1).reshape(-1, 3)
    origins = outward * reach.reshape(-1, 1) + axis
    origins[:, 1] = heights.ravel()
    hits = mesh.cast(origins, -outward)
    found = np.zeros(angles.size)
    found[hits.rays] = np.maximum(reach.ravel()[hits.rays] - hits.distances, 0)
    return found.reshape(angles.shape)
