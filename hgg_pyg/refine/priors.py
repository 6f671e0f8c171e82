r"""That nothing drifts: how improbable it is what a fit has added to poses and to Gaussians. All is zero at its start.

.. math::
    E = \frac{\lambda_t}{R} \sum_t \frac{|c_{t+1} - c_t|^2}{n_{t+1} - n_t}
      + \frac{\lambda_j}{R} \sum_{r} \frac{(p_r - p_r^0)_+^2}{(4°)^2}
      + \frac{\lambda_n}{E} \sum_{uv} |\bar r_u - \bar r_v|^2

c are the corrections of a frame's pose in the standard deviations that they are expected to have, n the frames'
numbers: corrections wander as a Brownian motion does, and the motion itself is left alone. p is how far a joint is bent
beyond its limits, :math:`p^0` how far it was when the fit began; r runs over the R frames that a step sees.
:math:`\bar r` is the mean residual of the Gaussians that are bound to a vertex, uv are the E pairs of such vertices
along `near` edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphs import mesh_hop_edges
from hgg_pyg.body.joint_limits import PAST, beyond, joint_limits
from hgg_pyg.refine.config import RefineConfig
from hgg_pyg.refine.figure import Figure

_HOPS = 2  # of the mesh that `near` edges span here: a vertex next to each may have no Gaussians


class Priors:
    """The terms of the formula above that have a weight.

    Args:
        figure: what is fitted.
        numbers: of its T frames, ascending.
        sigma: [C] by how much each column of the poses' corrections is expected to be off.
        config: weights, and what of the figure is fitted.
    """

    def __init__(self, figure: Figure, numbers: Sequence[int], sigma: Tensor, config: RefineConfig) -> None:
        self._figure, self._sigma, self._config = figure, sigma, config
        self._gaps = sigma.new_tensor(numbers).diff().abs().clamp_min(1)
        self._limits = joint_limits(figure.body.joint_names[1:]).to(sigma)
        self._began = beyond(figure.poses.body_pose.unflatten(1, (-1, 3)), self._limits)
        shared = config.gaussians and config.shared
        self._neighbours = Neighbours(figure.avatar.binding, figure.body.faces) if shared else None

    def cost(self, rows: Sequence[int]) -> Tensor:
        """Of what has been added so far, for a step that sees some of the T frames. []"""
        figure, config = self._figure, self._config
        cost = figure.moved.new_zeros(())
        if config.poses and config.smooth and len(figure.moved) > 1:
            cost = cost + config.smooth * unsteadiness(figure.moved / self._sigma, self._gaps) / len(rows)
        if config.poses and config.limits:
            bends = figure.poses_now(rows).body_pose.unflatten(1, (-1, 3))
            cost = cost + config.limits * overbent(bends, self._limits, self._began[rows]) / len(rows)
        if self._neighbours is not None:
            cost = cost + config.shared * self._neighbours.discord(figure.residuals)
        return cost


def unsteadiness(corrections: Tensor, gaps: Tensor) -> Tensor:
    """Squared changes from frame to frame over the time between them. [T, C], [T - 1] -> []"""
    return (corrections.diff(dim=0).square() / gaps[:, None]).sum()


def overbent(bends: Tensor, limits: Tensor, began: Tensor) -> Tensor:
    """Squares, over that of 4 degrees, of how much farther beyond limits joints are bent than they were.

    Args:
        bends: [R, J, 3] rotation vectors, radians.
        limits: [J, 3, 2] as `joint_limits` gives them.
        began: [R, J, 3] how far beyond they were, radians.

    Returns:
        []
    """
    return ((beyond(bends, limits) - began).clamp_min(0) / PAST).square().sum()


class Neighbours:
    """Gaussians gathered at the vertices that they are bound to, and pairs of these vertices on the mesh.

    Args:
        binding: [M] vertex ids.
        faces: [F, 3] of the mesh.
    """

    def __init__(self, binding: Tensor, faces: Tensor) -> None:
        vertices, self._rows, self._counts = binding.unique(return_inverse=True, return_counts=True)
        size = int(max(faces.max(), vertices.max())) + 1
        place = torch.full((size,), -1, device=binding.device)
        place[vertices] = torch.arange(len(vertices), device=binding.device)
        pairs = place[mesh_hop_edges(faces, _HOPS, size)]
        self._pairs = pairs[:, (pairs[0] >= 0) & (pairs[0] < pairs[1])]

    def discord(self, residuals: Tensor) -> Tensor:
        """Squared differences of mean residuals, in the mean over pairs of neighbours. [M, C] -> []"""
        sums = residuals.new_zeros(len(self._counts), residuals.shape[1]).index_add(0, self._rows, residuals)
        means = sums / self._counts[:, None]
        return (means[self._pairs[0]] - means[self._pairs[1]]).square().sum() / max(self._pairs.shape[1], 1)
