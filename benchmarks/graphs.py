"""The graphs that the benchmarks run on: which vertex a Gaussian binds to, and which vertices are near one another."""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from graphs import mesh_hop_edges, nearest_vertices_ragged
from hgg_pyg import load_body
from hgg_pyg.attention import Edges
from hgg_pyg.body import JOINTS
from hgg_pyg.kernels.raycast import RayMesh
from hgg_pyg.types import BodyPose

Skew = Literal["even", "body", "half"]
SKEWS: tuple[Skew, ...] = get_args(Skew)

VERTICES = 6890
FRAMES = 8
_SIZE = 128  # pixels: LGM's maps
_HALF_WIDTH = 1.05  # metres from the middle of a map to its border: all of the body in any of the poses
_ROTATION = 0.2  # radians that the person rotates from one frame to the next
_NOISE = 0.006  # metres, standard deviation of a Gaussian about the surface
_DEPTH = 0.2  # metres, standard deviation of a background pixel's Gaussian about the middle of its ray
_DISTANCE = 2.0  # metres from the body's middle to where the rays start


def intra(edges: int, skew: Skew = "body", targets: int = VERTICES, in_order: bool = True) -> Edges:
    """Edges from E Gaussians to the vertices that they bind to.

    Args:
        edges: E.
        skew: "body" gives degrees of the shape that `body_bindings` has; "even" equal ones; with "half" one vertex has
            half of the edges and the others equal shares of the rest.
        targets: N. Vertex n of the body stands for N / 6,890 vertices with ids about N / 6,890 n.
        in_order: Gaussians laid out by vertex, as `Edges.lay_out` leaves them; else in the order of frames and pixels
            where the skew is "body", in random order elsewhere.

    Raises:
        ValueError: an unknown skew, or fewer than one edge or two targets.
    """
    if edges < 1 or targets < 2:
        raise ValueError(f"intra: expected at least 1 edge and 2 targets, found {edges} and {targets}")
    rng = np.random.default_rng(0)
    if skew == "body":
        target = _resample(body_bindings(), edges, rng)
        target = np.floor((target + rng.random(edges)) * (targets / VERTICES)).astype(np.int64)
    elif skew == "even":
        target = rng.permutation(np.arange(edges) % targets)
    elif skew == "half":
        others = np.arange(edges - edges // 2) % (targets - 1)
        target = rng.permutation(np.concatenate([others, np.full(edges // 2, targets - 1)]))
        target = (target + targets // 2) % targets  # the heavy one stands amid the others
    else:
        raise ValueError(f"skew: expected one of body, even, half; found {skew!r}")
    made = Edges.from_index(torch.from_numpy(np.stack([np.arange(edges), target])), edges, targets)
    if not in_order:
        return made
    return Edges(torch.arange(edges), made.target, made.ptr, edges, targets, in_order=True)


def inter(hops: int, shuffled: bool = False, targets: int = VERTICES) -> Edges:
    """Edges between vertices at most `hops` mesh edges apart, each vertex with itself (Eq. 7).

    Args:
        hops: largest distance in mesh edges.
        shuffled: give the vertices random ids; neighbours on the body have ids near one another.
        targets: N. Where it is not the body's own number the mesh is the hull of a Fibonacci lattice on a sphere, with
            six neighbours per vertex as the body has, and ids along the spiral.
    """
    faces = load_body().faces if targets == VERTICES else _sphere(targets)
    index = mesh_hop_edges(faces, hops, targets, self_loops=True)
    if shuffled:
        index = torch.from_numpy(np.random.default_rng(0).permutation(targets))[index]
    return Edges.from_index(index, targets, targets)


def to_device(edges: Edges, device: str) -> Edges:
    """The same edges on another device."""
    source, target, ptr = (x.to(device) for x in (edges.source, edges.target, edges.ptr))
    return Edges(source, target, ptr, edges.num_sources, edges.num_targets, edges.in_order)


@cache
def body_bindings(frames: int = FRAMES) -> np.ndarray:
    """The vertex nearest to each Gaussian of a person who walks on the spot and turns. -> [T * 65,536] int64

    The Gaussians are those of pixel-aligned orthographic maps, four per frame, one per side, 128 x 128 pixels each, in
    the order of frames, sides and pixels. A pixel whose ray meets the body has its Gaussian near the surface; that of
    any other pixel stays on its ray, and binds to the vertex nearest to it: a few vertices of the outline collect most
    of these, which makes the heavy tail of the degrees.
    """
    body, rng = load_body(), np.random.default_rng(0)
    vertices = body.pose(_walk(frames)).vertices
    middles = (vertices.amin(1) + vertices.amax(1)) / 2
    vertices = vertices - middles[:, None]
    faces = body.faces.numpy()
    points = [
        _pixel_map(RayMesh(posed.numpy(), faces), side * np.pi / 2, rng) for posed in vertices for side in range(4)
    ]
    frame = torch.arange(frames).repeat_interleave(4 * _SIZE**2)
    return nearest_vertices_ragged(torch.from_numpy(np.concatenate(points)), frame, vertices)[:, 0].numpy()


def degree_figures(degree: Tensor) -> dict[str, float]:
    """What describes the shape of a graph's degrees [N]."""
    quantiles = degree.double().quantile(torch.tensor([0.5, 0.99], dtype=torch.float64)).tolist()
    return {
        "mean": float(degree.double().mean()),
        "median": quantiles[0],
        "p99": quantiles[1],
        "max": float(degree.max()),
        "empty": float((degree == 0).double().mean()),
    }


def _walk(frames: int) -> BodyPose:
    """One cycle of a walk."""
    swing = torch.sin(2 * torch.pi * torch.arange(frames) / frames + 0.3)
    angles = torch.zeros(frames, len(JOINTS), 3)
    angles[:, 0, 1] = _ROTATION * torch.arange(frames)
    for side, sign in (("left", 1), ("right", -1)):
        angles[:, JOINTS.index(f"{side}_hip"), 0] = 0.4 * sign * swing
        angles[:, JOINTS.index(f"{side}_shoulder"), 1] = -0.3 * swing
        angles[:, JOINTS.index(f"{side}_shoulder"), 2] = sign * (0.25 * swing - 0.9)
    return BodyPose(torch.zeros(1), angles[:, 0], angles[:, 1:].flatten(1), torch.zeros(frames, 3))


def _pixel_map(mesh: RayMesh, angle: float, rng: np.random.Generator) -> np.ndarray:
    """The Gaussians of one map, seen from a direction in the horizontal plane. -> [128 * 128, 3] float32"""
    back, right = np.array([np.sin(angle), 0, np.cos(angle)]), np.array([np.cos(angle), 0, -np.sin(angle)])
    places = ((np.arange(_SIZE) + 0.5) / _SIZE * 2 - 1) * _HALF_WIDTH
    up, across = (x.reshape(-1, 1) for x in np.meshgrid(places, places, indexing="ij"))
    origins = (across * right + up * np.array([0, 1, 0]) + _DISTANCE * back).astype(np.float32)
    hits = mesh.cast(origins, np.broadcast_to(-back, origins.shape))
    depth = rng.normal(_DISTANCE, _DEPTH, len(origins))
    depth[hits.rays] = hits.distances
    points = origins - depth[:, None] * back
    points[hits.rays] += rng.normal(0, _NOISE, (len(hits.rays), 3))
    return points.astype(np.float32)


def _resample(bindings: np.ndarray, edges: int, rng: np.random.Generator) -> np.ndarray:
    """E of the bindings, in their order: each as often as any other, give or take one."""
    whole, rest = divmod(edges, len(bindings))
    times = np.full(len(bindings), whole)
    times[rng.permutation(len(bindings))[:rest]] += 1
    return bindings.repeat(times)


@cache
def _sphere(count: int) -> Tensor:
    """Triangles of a closed mesh of N vertices. -> [2 N - 4, 3] int64"""
    index = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    places = np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], 1)
    return torch.from_numpy(ConvexHull(places).simplices.astype(np.int64))
