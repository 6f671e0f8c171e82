"""What direct binding gets wrong in the clip's own images, told to the network before it predicts anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

import graphs
from hgg_pyg.body import pose_gaussians
from hgg_pyg.model.residual import RESIDUAL_DIM, apply_residual
from hgg_pyg.render import render
from hgg_pyg.types import Cameras, Gaussians

_TOLD = (0, 1, 2, *range(6, RESIDUAL_DIM))  # all channels but the rotation, in which a disc's image hardly changes
FEEDBACK_DIM = len(_TOLD) + 1
_LEAST_WEIGHT = 0.3  # pixels: below this a Gaussian is hardly seen, and its gradient says little
# Usual gradients per pixel, of shift, size, opacity and colour: features come out at about 1.
_UNITS = (0.1,) * 3 + (0.012,) * 3 + (0.015,) + (0.03,) * 3


@dataclass(frozen=True)
class InputImages:
    """Images of F input frames by V input cameras each, all of one size."""

    vertex_transforms: Tensor  # [F, N, 4, 4] the vertices' maps from the rest pose to the frame's
    cameras: Cameras  # [F, V]
    rgb: Tensor  # [F, V, H, W, 3] on white
    alpha: Tensor  # [F, V, H, W, 1]

    def to(self, device: str | torch.device) -> InputImages:
        """A copy on a device."""
        return InputImages(
            self.vertex_transforms.to(device), self.cameras.to(device), self.rgb.to(device), self.alpha.to(device)
        )


def add_feedback(graph: HeteroData, images: InputImages, surface: bool, so_far: Tensor | None = None) -> None:
    r"""Give the avatar's Gaussians and the vertices the gradient by which a fit to the input images would go on.

    .. math::
        E(\delta) = \tfrac12 \sum_{f, p} \left| I_f(g \oplus \delta)_p - I^*_{f,p} \right|^2
            + \left( A_f(g \oplus \delta)_p - A^*_{f,p} \right)^2, \qquad
        x_m = \left[ \operatorname{sgn}(s_m) \log(1 + |s_m|) \;\Vert\; \log(1 + w_m) \right], \qquad
        s_m = \frac{-\partial E / \partial \delta_m}{u \, (w_m + w_0)}, \qquad w_m = \sum_{f, p} \alpha_{mp} T_{mp}

    The gradient is that at the residuals so far, at first 0. The Gaussians of frame t0, bound to the body, are posed as
    in F input frames and rendered (I, A). How each one would have to move, grow, fade and change its colour to come
    closer to the images :math:`I^*` and masks :math:`A^*` is the first step of a fit, here an input of one forward
    pass, as G3R (Chen et al. 2024) has it for street scenes. The weights w, how many pixels a Gaussian covers, make it
    a mean over pixels. A vertex has the same, of the sums over the Gaussians that are bound to it. Nothing is learnt
    here and no gradient passes.

    Args:
        graph: of one clip, as `clip_graph` makes it; gets `avatar.feedback` [M, 11] and `vertex.feedback` [N, 11].
        images: of its input frames, on the graph's device.
        surface: whether shifts are along the surface's axes.
        so_far: [M, 13] residuals at which the gradient is taken; zeros if None.
    """
    start = graph["avatar"]
    bound = Gaussians(start.pos, start.quats, start.scales, start.opacities, start.colors)
    with torch.enable_grad():
        known = start.pos.new_zeros(len(bound), RESIDUAL_DIM) if so_far is None else so_far.detach()
        delta = known.clone().requires_grad_()
        # The gradient of a channel that is zero everywhere is w, and adds nothing to any other gradient.
        channel = start.pos.new_zeros(len(bound), 1, requires_grad=True)
        changed = apply_residual(bound, delta, start.axes if surface else None)
        changed = replace(
            changed, quats=changed.quats.detach(), colors=torch.cat([changed.colors, channel], 1)
        )  # without the rotation
        posed = pose_gaussians(changed, images.vertex_transforms, start.binding)
        rendered = render(posed, images.cameras, background=start.pos.new_tensor([1.0, 1.0, 1.0, 0.0]))
        error = (rendered.rgb[..., :3] - images.rgb).square().sum() + (rendered.alpha - images.alpha).square().sum()
        gradient, weight = torch.autograd.grad(0.5 * error + rendered.rgb[..., 3].sum(), (delta, channel))
    steps = torch.cat([-gradient[:, _TOLD], weight], 1)
    of_vertices = steps.new_zeros(graph["vertex"].num_nodes, FEEDBACK_DIM).index_add_(0, start.binding, steps)
    graphs.add_feedback(graph, _as_features(steps), _as_features(of_vertices))


def _as_features(steps: Tensor) -> Tensor:
    """Sums over pixels [n, 10 + 1] -> their means, compressed, and the logarithm of the weight [n, 11]"""
    gradient, weight = steps[:, :-1], steps[:, -1:]
    mean = gradient / (weight + _LEAST_WEIGHT) / steps.new_tensor(_UNITS)
    return torch.cat([mean.sign() * mean.abs().log1p(), weight.log1p()], 1)
