"""The network that corrects poses: joints on the kinematic tree and over time, told how the images pull at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from graphs import BENDS, LASTS, joint_graph
from hgg_pyg.attention import Edges
from hgg_pyg.body import BodyModel
from hgg_pyg.body.skin_points import skin_points
from hgg_pyg.model.poses.evidence import JOINT_EVIDENCE, joint_evidence, joint_forces, joint_sums, shape_evidence
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.model.poses.pulls import look, start_colors
from hgg_pyg.model.poses.stance import Stance, axis_angle, corrected
from hgg_pyg.nn import GraphBlock
from hgg_pyg.nn.block import EdgeType, reset_parameters
from hgg_pyg.types import BodyPose

POINTS = 2000  # of the body that is drawn: every 2 cm
_LEAST_CORRECTION = 0.005  # metres that joints move by in the mean: true poses would be moved by 2 to 3 millimetres
_LAYERS = 2  # blocks in each round
_BETAS = 10  # values of shape that are corrected; what a body has beyond them stays
_FIRST_VIEWS = 2  # of a frame that are looked at in the first round, when nothing is known of colours
_TURN, _SHIFT, _SHAPE = 0.1, 0.02, 0.5  # radians, metres and values of shape that an output of 1 corrects
_PER_JOINT = JOINT_EVIDENCE + 3 + 3 + 3  # evidence; the joint's bend, its correction so far, the root's so far

MakeConv = Callable[[], nn.Module]


@dataclass(frozen=True)
class Mended:
    """Poses as the network corrected them."""

    poses: BodyPose  # T frames
    stances: tuple[Stance, ...]  # after each round


class PoseMender(nn.Module):
    r"""Corrections of pose, place and shape of T frames, in rounds that share their weights.

    .. math::
        h &\leftarrow W e(\theta^r) + W_h h^{r-1} + q_j + o_r, \qquad
            h \leftarrow \mathrm{Block}_l(h) \quad \text{along bends and lasts} \\
        (\delta_j, \delta_\tau) &= \mathrm{head}(h_j, e_j), \qquad \delta_\beta = \mathrm{shape}(\bar h, e_\beta) \\
        R_j^{r+1} &= R_j^r \exp(\delta_j), \qquad \tau^{r+1} = \tau^r + R_0^r \delta_\tau, \qquad
        \beta^{r+1} = \beta^r + \delta_\beta

    e is the evidence of `joint_evidence`: the gradient of the error of the body drawn in its present poses over the
    images, which `look` takes; q a learnable query of each joint. Joints pass messages to the next ones on the
    kinematic tree and to themselves in the other frames: a bias that all frames share is seen in all of them. The
    heads' last projections start at zero: untrained, poses come out as they went in, to the bit. So do those whose
    joints would move by less than 5 mm in the mean, which is within the network's own error.

    Args:
        channels: D.
        num_joints: J.
        rounds: R.
        make_conv: gives a layer D -> D for joints.
        ffn_ratio: hidden channels of the feed-forward networks, in units of D.
    """

    def __init__(
        self,
        channels: int,
        num_joints: int,
        rounds: int,
        make_conv: MakeConv,
        ffn_ratio: int = 2,
    ) -> None:
        super().__init__()
        self.rounds = rounds
        self.queries = nn.Parameter(torch.empty(num_joints, channels))
        self.round_offsets = nn.Parameter(torch.empty(rounds, channels))
        self.hear = nn.Linear(_PER_JOINT, channels)
        self.recall = nn.Linear(channels, channels)
        relations: tuple[EdgeType, ...] = (BENDS, LASTS)
        self.blocks = nn.ModuleList(
            GraphBlock(channels, {relation: make_conv() for relation in relations}, ffn_ratio) for _ in range(_LAYERS)
        )
        self.norm = nn.LayerNorm(channels)
        self.head = _head(channels + _PER_JOINT, ffn_ratio * channels, 6)
        self.shape_head = _head(channels + 2 * _BETAS, ffn_ratio * channels, _BETAS)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew; the heads' last projections become zero."""
        nn.init.normal_(self.queries, std=0.02)
        nn.init.zeros_(self.round_offsets)
        reset_parameters(self)
        for head in (self.head, self.shape_head):
            last = cast(nn.Linear, head[-1])
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, body: BodyModel, poses: BodyPose, images: PoseImages) -> Mended:
        """Corrected poses of T frames.

        Args:
            body: whose poses.
            poses: T frames.
            images: of the same frames.
        """
        points = skin_points(body, POINTS)
        start = stance = Stance.of(body, poses)
        colors, stances = start_colors(images, points), []
        edges = _joint_edges(body.chain, len(poses), poses.transl.device)
        turned = poses.transl.new_zeros(len(poses), body.num_joints, 3)
        moved = poses.transl.new_zeros(len(poses), 3)
        h = None
        for round in range(self.rounds):
            with torch.no_grad():
                found = look(
                    points, stance, images.some(0, _FIRST_VIEWS if round == 0 else images.rgb.shape[1]), colors
                )
                colors = found.colors
                bends = axis_angle(stance.rotations)
                bends[:, 0] = 0  # how the whole person is turned is chance
                sums = joint_sums(points, stance, found)
                about = (
                    joint_evidence(joint_forces(stance, sums)),
                    bends,
                    turned,
                    moved[:, None].expand_as(turned),
                )
                evidence = torch.cat(about, -1)
                of_shape = shape_evidence(points, stance, found, sums)
            h = self._hear(evidence, h, edges, round)
            turn, shift, betas = self._answer(h, evidence, of_shape, stance.betas.detach())
            turned, moved = turned + turn.detach(), moved + shift.detach()
            stances.append(stance.turned(turn, shift, betas))
            stance = stances[-1].detach()  # each round is to come as near as it can, and none relies on the next
        with torch.no_grad():
            moved_by = (stance.joints - start.joints).norm(dim=-1).mean()
        if moved_by < _LEAST_CORRECTION:
            return Mended(poses, tuple(stances))
        return Mended(corrected(poses, start, stances[-1]), tuple(stances))

    def _hear(self, evidence: Tensor, before: Tensor | None, edges: dict[EdgeType, Edges], round: int) -> Tensor:
        """What the joints make of the evidence and of what they knew in the round before. [T, J, D]"""
        h = self.hear(evidence) + self.queries + self.round_offsets[round]
        if before is not None:
            h = h + self.recall(before)
        h = h.flatten(0, 1)[:, None]  # [T * J, 1, D]
        for block in self.blocks:
            h = block(h, {}, edges)
        return self.norm(h[:, 0]).view(*evidence.shape[:2], -1)

    def _answer(self, h: Tensor, evidence: Tensor, of_shape: Tensor, betas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corrections of turns [T, J, 3], of the place [T, 3] and of the shape [B]"""
        out = self.head(torch.cat([h, evidence], -1))
        known = min(_BETAS, len(betas))
        padded = [nn.functional.pad(values[:known], (0, _BETAS - known)) for values in (of_shape, betas)]
        shape = self.shape_head(torch.cat([h.mean((0, 1)), *padded]))[:known]
        return _TURN * out[..., :3], _SHIFT * out[:, 0, 3:], nn.functional.pad(_SHAPE * shape, (0, len(betas) - known))


@lru_cache(maxsize=8)  # what layers derive from edges is derived once
def _joint_edges(chain: tuple[int, ...], frames: int, device: torch.device) -> dict[EdgeType, Edges]:
    graph = joint_graph(chain, frames).to(str(device))
    count = frames * len(chain)
    return {relation: Edges.from_index(graph[relation].edge_index, count, count) for relation in (BENDS, LASTS)}


def _head(channels: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out)
    )
