"""Which Gaussians the avatar starts from, and of which vertices some are born. Chosen without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphs.brought import brought_function
from graphs.mesh_hops import mesh_hop_edges
from graphs.nearest import nearest_vertices

if TYPE_CHECKING:
    from graphs.nodes import ClipNodes

AnchorChoice = Callable[["ClipNodes"], Tensor]
"""From a clip's nodes to the frame [N] int64 whose Gaussians stand for each vertex."""

_SMOOTHINGS = 3  # means over neighbours on the mesh, so that neighbours have Gaussians of one frame
_AS_GOOD = 0.9  # of the best view of a vertex: the reference frame's is then taken, which leaves fewer seams
_LOOSE = 0.02  # metres off the nearest vertex, from where on a Gaussian is of clothes or hair and no part of the body
_UNSEEN = 0.05  # a vertex that is seen less than this, a cosine, is not seen


@dataclass(frozen=True, eq=False)
class Anchors:
    """The avatar's M = A + B Gaussians before anything is learnt: A of the clip's, then B that are born."""

    chosen: Tensor  # [A] int64, ascending: which of the clip's P Gaussians
    born: Tensor  # [B] int64, ascending: the vertices of which Gaussians are born
    donors: Tensor  # [B] int64: the vertex whose chosen Gaussians each one takes its looks from

    def __len__(self) -> int:
        """M."""
        return len(self.chosen) + len(self.born)


def first(nodes: ClipNodes) -> Tensor:
    """The reference frame for every vertex, as the paper has it."""
    return torch.full((nodes.num_vertices,), nodes.ref_frame, device=nodes.pos.device)


def best_seen(nodes: ClipNodes) -> Tensor:
    """For every vertex the frame that sees it best.

    Of the frames that see it, if any does, it is the one that sees most of its surroundings: what a frame sees is
    smoothed over the mesh, so that choices have few seams. Where the reference frame is nearly as good as the best one,
    it is taken; of equally good others the first.

    Raises:
        ValueError: the nodes do not say what is seen.
    """
    sees = nodes.seen_each >= _UNSEEN
    smooth = torch.where(sees | ~sees.any(0), nodes.smoothed_seen, -1.0)
    best, frame = smooth.max(0)
    return torch.where(smooth[nodes.ref_frame] >= _AS_GOOD * best, nodes.ref_frame, frame)


ANCHORS: dict[str, AnchorChoice] = {"first": first, "best-seen": best_seen}


def find_anchors(name: str) -> AnchorChoice:
    """A choice by its name, or a function of any module as "some.module:function".

    Raises:
        ValueError: there is no such choice.
    """
    if name in ANCHORS:
        return ANCHORS[name]
    try:
        return brought_function(name, "it is not known")
    except ValueError as error:
        expected = f"expected one of {', '.join(ANCHORS)}, or some.module:function"
        raise ValueError(f"anchors {name!r}: {expected} ({error})") from error


def choose_anchors(nodes: ClipNodes) -> Anchors:
    """What `nodes.spec` says of anchors and of those that are born.

    A Gaussian of the clip is chosen if its frame is the one that stands for the vertex it is nearest to: all of a
    vertex's Gaussians of that frame, each once, in time linear in their number. What stands off the body, as the
    outline of a skirt does, has no side that another frame sees better: there the reference frame stands.

    With `spec.born`, vertices that no chosen Gaussian is nearest to and that their frame does not see get a Gaussian
    of their own. It looks like the chosen ones of the vertex across the body's plane of symmetry, if that has some,
    else like those of the vertex fewest edges away.

    Raises:
        ValueError: a choice does not answer with a frame for each vertex, or chooses no Gaussian at all, or the nodes
            lack what it needs.
    """
    if nodes.spec.is_papers:
        chosen = nodes.is_ref.nonzero()[:, 0]
        return Anchors(chosen, chosen.new_empty(0), chosen.new_empty(0))
    name, frames = nodes.spec.anchors, len(nodes.vertices)
    try:
        frame = find_anchors(name)(nodes)
    except Exception as error:
        error.add_note(f"in the anchors {name!r}")
        raise
    if not isinstance(frame, Tensor) or frame.shape != (nodes.num_vertices,) or frame.is_floating_point():
        found = f"{list(frame.shape)} {frame.dtype}" if isinstance(frame, Tensor) else repr(type(frame))
        raise ValueError(f"anchors {name!r}: expected [{nodes.num_vertices}] frames, integers, found {found}")
    if int(frame.min()) < 0 or int(frame.max()) >= frames:
        raise ValueError(f"anchors {name!r}: expected frames from 0 to {frames - 1}, found others")
    nearest = nodes.nearest[:, 0]
    off = nodes.pos - nodes.vertices[nodes.frame, nearest]
    stands = torch.where(off.norm(dim=1) > _LOOSE, nodes.ref_frame, frame[nearest])
    chosen = (stands == nodes.frame).nonzero()[:, 0]
    if not len(chosen) and name != "first":
        raise ValueError(f"anchors {name!r}: expected some of the clip's {len(nodes.pos)} Gaussians, found none")
    none = chosen.new_empty(0)
    if not nodes.spec.born or not len(chosen):
        return Anchors(chosen, none, none)
    covered = torch.zeros(nodes.num_vertices, dtype=torch.bool, device=chosen.device)
    covered[nearest[chosen]] = True
    born = (~covered & (nodes.seen_each.gather(0, frame[None])[0] < _UNSEEN)).nonzero()[:, 0]
    return Anchors(chosen, born, _donors(nodes, covered)[born])


def smoothed(seen: Tensor, faces: Tensor) -> Tensor:
    """How well each frame sees each vertex, a mean over its surroundings on the mesh. [T, N] -> [T, N]"""
    source, target = mesh_hop_edges(faces, 1, seen.shape[1], self_loops=True).to(seen.device)
    count = torch.bincount(target, minlength=seen.shape[1])
    for _ in range(_SMOOTHINGS):
        seen = torch.zeros_like(seen).index_add_(1, target, seen[:, source]) / count
    return seen


def seen_features(nodes: ClipNodes) -> tuple[Tensor, Tensor]:
    """What is seen of where each Gaussian is: by its own frame, by the best one, by how many; and whether it was born.

    Returns:
        Of the clip's Gaussians [P, 4], of those that the avatar starts from [M, 4]; each from 0 to 1. Of one that was
        born the own frame is the reference frame.

    Raises:
        ValueError: the nodes do not say what is seen.
    """
    seen, vertex, born = nodes.smoothed_seen, nodes.nearest[:, 0], nodes.anchors.born
    of_vertices = torch.stack([seen.max(0).values, (seen >= _UNSEEN).to(seen).mean(0), torch.zeros_like(seen[0])], 1)
    of_all = torch.cat([seen[nodes.frame, vertex][:, None], of_vertices[vertex]], 1)
    of_born = torch.cat([seen[nodes.ref_frame, born][:, None], of_vertices[born]], 1)
    of_born[:, -1] = 1
    return of_all, torch.cat([of_all[nodes.anchors.chosen], of_born])


def _donors(nodes: ClipNodes, covered: Tensor) -> Tensor:
    """For each vertex one that has Gaussians: itself, the one across, or the one fewest edges away. [N] int64"""
    places = nodes.vertices[nodes.ref_frame] if nodes.v_shaped is None else nodes.v_shaped
    vertex = torch.arange(len(covered), device=covered.device)
    across = nearest_vertices((places * places.new_tensor([-1.0, 1.0, 1.0]))[None], places[None])[0, :, 0]
    source, target = mesh_hop_edges(nodes.faces, 1, nodes.num_vertices).to(covered.device)
    none = len(covered)
    donor = torch.where(covered, vertex, none)
    while True:  # one edge further each time
        reached = donor.scatter_reduce(0, target, donor[source], "amin")
        reached = torch.where(donor < none, donor, reached)
        if torch.equal(reached, donor):
            break
        donor = reached
    lost = donor == none  # of a part of the mesh without any
    if bool(lost.any()):
        there = covered.nonzero()[:, 0]
        donor[lost] = there[nearest_vertices(places[None, lost], places[None, there])[0, :, 0]]
    return torch.where(~covered & covered[across], across, donor)
