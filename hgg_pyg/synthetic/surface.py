"""Skinned triangle surfaces and what tailoring needs of them: subdivide, cut along a level line, smooth, offset."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Surface:
    """A triangle mesh in the rest pose whose vertices know how they move and where they lie in the pattern's space."""

    vertices: np.ndarray  # [n, 3] rest pose, metres
    faces: np.ndarray  # [m, 3] int64
    normals: np.ndarray  # [n, 3] unit, outwards
    weights: np.ndarray  # [n, J] skinning weights, rows sum to 1
    chart: np.ndarray  # [n, 3] where the vertex lies when the arms hang, metres: patterns are painted there
    chart_normals: np.ndarray  # [n, 3] unit

    def __len__(self) -> int:
        """n."""
        return len(self.vertices)

    def interpolate(self, first: np.ndarray, second: np.ndarray, share: np.ndarray, faces: np.ndarray) -> Surface:
        """Append k vertices at (1 - share) * first + share * second, and use `faces` from now on. All [k]"""
        grown = {"faces": faces}
        for name in _PER_VERTEX:
            values = getattr(self, name)
            new = values[first] + share[:, None] * (values[second] - values[first])
            if name.endswith("normals"):
                new = _unit(new)
            grown[name] = np.concatenate([values, new])
        return replace(self, **grown)

    def subdivide(self) -> Surface:
        """Every triangle becomes four, at the midpoints of its edges."""
        corners = self.faces
        edges, index = _unique_edges(corners)
        ab, bc, ca = (len(self) + part for part in np.split(index, 3))
        a, b, c = corners.T
        faces = np.concatenate([np.stack(tri, 1) for tri in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
        return self.interpolate(edges[:, 0], edges[:, 1], np.full(len(edges), 0.5), faces)

    def keep_faces(self, keep: np.ndarray) -> Surface:
        """Only the chosen faces and the vertices they use. keep [m] bool"""
        used, faces = np.unique(self.faces[keep], return_inverse=True)
        chosen = {name: getattr(self, name)[used] for name in _PER_VERTEX}
        return replace(self, faces=faces.reshape(-1, 3), **chosen)

    def cut(self, level: np.ndarray) -> Surface:
        """Keep where `level` >= 0; triangles on the border are cut along the line where it is 0. level [n]"""
        inside = level >= 0
        count = inside[self.faces].sum(1)
        whole = self.faces[count == 3]
        one, two = (_lone_first(self.faces[count == k], inside, lone=k == 1) for k in (1, 2))
        # The crossings on the two edges that leave the lone corner, for both kinds of border triangle.
        lone = np.concatenate([one, two])
        pairs = np.concatenate([lone[:, [0, 1]], lone[:, [0, 2]]])
        edges, index = np.unique(np.sort(pairs, 1), axis=0, return_inverse=True)
        share = level[edges[:, 0]] / (level[edges[:, 0]] - level[edges[:, 1]])
        p, q = np.split(index.reshape(-1) + len(self), 2)
        p1, p2, q1, q2 = p[: len(one)], p[len(one) :], q[: len(one)], q[len(one) :]
        faces = np.concatenate(
            [
                whole,
                np.stack([one[:, 0], p1, q1], 1),
                np.stack([p2, two[:, 1], two[:, 2]], 1),
                np.stack([p2, two[:, 2], q2], 1),
            ]
        )
        grown = self.interpolate(edges[:, 0], edges[:, 1], share, faces)
        return grown.keep_faces(np.ones(len(faces), bool))

    def smoother(self) -> sp.csr_array:
        """The matrix that moves each vertex halfway to the mean of its neighbours, on a border along it only. [n, n]"""
        edges, index = _unique_edges(self.faces)
        border = np.bincount(index) == 1
        on_border = np.zeros(len(self), bool)
        on_border[edges[border]] = True
        rows, cols = np.concatenate([edges, edges[:, ::-1]]).T
        follows = ~on_border[rows] | np.tile(border, 2)
        rows, cols = rows[follows], cols[follows]
        adjacency = sp.coo_array((np.ones(len(rows)), (rows, cols)), shape=(len(self), len(self))).tocsr()
        degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)
        return sp.csr_array(0.5 * sp.eye_array(len(self)) + 0.5 * (sp.diags_array(1 / degree) @ adjacency))

    def offset(self, clearance: np.ndarray | float, iterations: int) -> Surface:
        """A smooth shell over this surface, everywhere at least `clearance` outside the vertex that it covers.

        Smoothing spans hollows, as cloth does, but sinks into bumps: what has sunk is pushed out along the normal.

        Args:
            clearance: metres, one number, or one per vertex [n].
            iterations: how often to smooth.
        """
        smooth = self.smoother()
        spanned, directions = self.vertices, self.normals
        for _ in range(iterations):
            spanned, directions = smooth @ spanned, smooth @ directions
        height = ((spanned - self.vertices) * self.normals).sum(1)
        spanned = spanned + self.normals * np.maximum(clearance - height, 0)[:, None]
        for _ in range(2):
            spanned = smooth @ spanned
        return replace(self, vertices=spanned, normals=_unit(directions))

    def displaced(self, distance: np.ndarray) -> Surface:
        """Moved along the normals by `distance` metres [n]."""
        return replace(self, vertices=self.vertices + self.normals * distance[:, None])


_PER_VERTEX = tuple(field.name for field in fields(Surface) if field.name != "faces")


def sheet(points: np.ndarray, weights: np.ndarray, closed: bool) -> Surface:
    """A surface from a grid of points, outwards being (next column) x (next row); its chart is its rest position.

    Args:
        points: [rows, columns, 3] metres.
        weights: [rows, columns, J].
        closed: whether the last column joins the first.
    """
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    following = np.roll(index, -1, axis=1)
    if not closed:
        index, following = index[:, :-1], following[:, :-1]
    a, b, c, d = (part.ravel() for part in (index[:-1], following[:-1], index[1:], following[1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    vertices = points.reshape(-1, 3)
    normals = vertex_normals(vertices, faces)
    return Surface(vertices, faces, normals, weights.reshape(len(vertices), -1), vertices, normals)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals, each the area-weighted mean over the triangles around the vertex. [n, 3], [m, 3] -> [n, 3]"""
    a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    across = np.cross(b - a, c - a)
    corners = faces.T.reshape(-1)
    sums = [np.bincount(corners, np.tile(across[:, k], 3), len(vertices)) for k in range(3)]
    return _unit(np.stack(sums, 1))


def _unique_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted vertex pairs [e, 2], and for the edges ab, bc, ca of all faces in turn, which pair each is [3 m]."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges, index = np.unique(np.sort(pairs, 1), axis=0, return_inverse=True)
    return edges, index.reshape(-1)


def _lone_first(faces: np.ndarray, inside: np.ndarray, lone: bool) -> np.ndarray:
    """Turn each triangle, keeping its sense, so that its one corner with `inside == lone` comes first."""
    start = (inside[faces] == lone).argmax(1)
    return np.take_along_axis(faces, (start[:, None] + np.arange(3)) % 3, 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
