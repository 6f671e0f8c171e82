"""The nodes of a clip: what a relation is a function of, and what the avatar's nodes hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from graphs.anchors import Anchors, choose_anchors, smoothed
from graphs.nearest import nearest_vertices, nearest_vertices_ragged
from graphs.spec import GraphSpec


@dataclass(frozen=True, eq=False)
class ClipNodes:
    """P Gaussians of T frames, in the order of their frames, and the N vertices that the frames share.

    Frames may hold different numbers of Gaussians, also none. `ClipNodes.from_frames` takes them frame by frame.

    Raises:
        ValueError: shapes do not fit one another, there is no frame, or the reference frame is not one of them.
    """

    pos: Tensor  # [P, 3] Gaussian centres in world metres
    frame: Tensor  # [P] int64, ascending: the frame of each Gaussian, 0..T-1
    x: Tensor  # [P, C] what the per-frame network knows of each Gaussian
    vertices: Tensor  # [T, N, 3] the posed vertices in world metres (Eq. 5)
    faces: Tensor  # [F, 3] vertex ids
    v_shaped: Tensor | None = None  # [N, 3] the shaped body before it takes a pose, metres
    ref_frame: int = 0  # which frame the avatar is made of
    spec: GraphSpec = GraphSpec()  # noqa: RUF009  (frozen)
    seen: Tensor | None = None  # [T, N] how well the cameras see each vertex in each frame, from 0 to 1

    def __post_init__(self) -> None:
        if self.vertices.ndim != 3 or self.vertices.shape[2] != 3:
            raise ValueError(f"vertices: expected [T, N, 3], found {list(self.vertices.shape)}")
        frames, count = self.vertices.shape[:2]
        if frames == 0:
            raise ValueError("vertices: expected at least one frame, found none")
        gaussians = len(self.pos)
        for name, wanted in (("pos", (gaussians, 3)), ("frame", (gaussians,)), ("x", (gaussians, None))):
            found = tuple(getattr(self, name).shape)
            if len(found) != len(wanted) or any(w not in (None, f) for w, f in zip(wanted, found, strict=True)):
                expected = ", ".join("C" if size is None else str(size) for size in wanted)
                raise ValueError(f"{name}: expected [{expected}], found {list(found)}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3:
            raise ValueError(f"faces: expected [F, 3], found {list(self.faces.shape)}")
        if self.v_shaped is not None and self.v_shaped.shape != (count, 3):
            raise ValueError(f"v_shaped: expected [{count}, 3] as the vertices, found {list(self.v_shaped.shape)}")
        if self.seen is not None and self.seen.shape != (frames, count):
            raise ValueError(f"seen: expected [{frames}, {count}] as the vertices, found {list(self.seen.shape)}")
        if not 0 <= self.ref_frame < frames:
            raise ValueError(f"ref_frame: expected 0 to {frames - 1}, found {self.ref_frame}")

    @classmethod
    def from_frames(
        cls,
        pos: Tensor | Sequence[Tensor],
        x: Tensor | Sequence[Tensor],
        vertices: Tensor,
        faces: Tensor,
        v_shaped: Tensor | None = None,
        ref_frame: int = 0,
        spec: GraphSpec = GraphSpec(),  # noqa: B008  (frozen)
        seen: Tensor | None = None,
    ) -> Self:
        """The nodes of a clip whose Gaussians come frame by frame.

        Args:
            pos: [T, M, 3], or T times [M_t, 3].
            x: [T, M, C], or T times [M_t, C].
            vertices, faces, v_shaped, ref_frame, spec, seen: as the fields.

        Raises:
            ValueError: as the class, or the numbers of frames or of a frame's Gaussians differ.
        """
        if len(pos) != len(vertices) or len(x) != len(vertices):
            raise ValueError(
                f"pos, x, vertices: expected the same number of frames, found {len(pos)}, {len(x)} and {len(vertices)}"
            )
        if len(vertices) == 0:
            raise ValueError("pos, x, vertices: expected at least one frame, found none")
        for t, (centres, features) in enumerate(zip(pos, x, strict=True)):
            if centres.ndim != 2 or features.ndim != 2 or len(centres) != len(features):
                shapes = f"{list(centres.shape)} and {list(features.shape)}"
                raise ValueError(f"frame {t}: expected [M, 3] and [M, C], found {shapes}")
        counts = torch.tensor([len(centres) for centres in pos])
        frame = torch.arange(len(counts)).repeat_interleave(counts).to(vertices.device)
        return cls(torch.cat(list(pos)), frame, torch.cat(list(x)), vertices, faces, v_shaped, ref_frame, spec, seen)

    @property
    def num_vertices(self) -> int:
        """N."""
        return self.vertices.shape[1]

    @property
    def is_ref(self) -> Tensor:
        """[P] bool, which Gaussians are the reference frame's."""
        return self.frame == self.ref_frame

    @property
    def ref_pos(self) -> Tensor:
        """[M, 3] Gaussian centres of the reference frame in world metres."""
        return self.pos[self.is_ref]

    @cached_property
    def nearest(self) -> Tensor:
        """[P, k] the `spec.k` nearest vertices of each Gaussian in its own frame, nearest first; searched for once.

        Raises:
            ValueError, ImportError, RuntimeError: as `nearest_vertices_ragged`.
        """
        return nearest_vertices_ragged(self.pos, self.frame, self.vertices, self.spec.k)

    @property
    def seen_each(self) -> Tensor:
        """[T, N] how well each frame sees each vertex.

        Raises:
            ValueError: the nodes do not say what is seen.
        """
        if self.seen is None:
            spec = self.spec
            asked = f"anchors {spec.anchors!r}, born {spec.born}, tell_seen {spec.tell_seen}"
            raise ValueError(f"{asked}: expected nodes that say what is seen, found none")
        return self.seen

    @cached_property
    def smoothed_seen(self) -> Tensor:
        """[T, N] the same, smoothed over the mesh.

        Raises:
            ValueError: as `seen_each`.
        """
        return smoothed(self.seen_each, self.faces)

    @cached_property
    def anchors(self) -> Anchors:
        """Which Gaussians the avatar starts from: those of the reference frame, or as the spec says.

        Raises:
            ValueError: as `choose_anchors`.
        """
        return choose_anchors(self)

    @cached_property
    def anchor_nearest(self) -> Tensor:
        """[M, readout_k] the nearest vertices of each Gaussian that the avatar starts from, nearest first.

        A chosen one's are those of its own frame; one that is born reads its own vertex, then those nearest to it at
        rest.

        Raises:
            ValueError, ImportError, RuntimeError: as `nearest_vertices_ragged`, or as `choose_anchors`.
        """
        k, chosen, born = self.spec.readout_k, self.anchors.chosen, self.anchors.born
        if k <= self.spec.k and ("binds" in self.spec.relations or not self.spec.is_papers):  # which has searched
            nearest = self.nearest[chosen, :k]
        else:
            nearest = nearest_vertices_ragged(self.pos[chosen], self.frame[chosen], self.vertices, k)
        if not len(born):
            return nearest
        rest = self.vertices[self.ref_frame] if self.v_shaped is None else self.v_shaped
        return torch.cat([nearest, nearest_vertices(rest[None, born], rest[None], k)[0]])


@dataclass(frozen=True, eq=False)
class AvatarNodes:
    """The M Gaussians that the avatar starts from in the rest pose, in the order of `ClipNodes.anchors`.

    Raises:
        ValueError: a field's shape does not fit.
    """

    x: Tensor  # [M, C] what the per-frame network knows of each Gaussian
    pos: Tensor  # [M, 3] metres
    quats: Tensor  # [M, 4] wxyz
    scales: Tensor  # [M, 3] standard deviations in metres
    opacities: Tensor  # [M] in [0, 1]
    colors: Tensor  # [M, ...]
    binding: Tensor  # [M] int64, the vertex of the body that each one moves with
    axes: Tensor  # [M, 3, 3] columns: normal and tangents of the body at that vertex
    betas: Tensor  # [B] the person's shape

    def __post_init__(self) -> None:
        count = len(self.pos)
        tails = {"pos": (3,), "quats": (4,), "scales": (3,), "opacities": (), "binding": (), "axes": (3, 3)}
        for name, tail in tails.items():
            if getattr(self, name).shape != (count, *tail):
                found = list(getattr(self, name).shape)
                raise ValueError(f"AvatarNodes.{name}: expected {[count, *tail]}, found {found}")
        for name in ("x", "colors"):
            if getattr(self, name).ndim < 2 or len(getattr(self, name)) != count:
                found = list(getattr(self, name).shape)
                raise ValueError(f"AvatarNodes.{name}: expected [{count}, ...], found {found}")
        if self.betas.ndim != 1:
            raise ValueError(f"AvatarNodes.betas: expected [B], found {list(self.betas.shape)}")
