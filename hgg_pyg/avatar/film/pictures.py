"""The pictures of a film, one after the other: an avatar in motion before a camera, and several of them in a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.avatar.animator import Animator
from hgg_pyg.avatar.avatar import Avatar
from hgg_pyg.avatar.footprint import footprint
from hgg_pyg.avatar.motion import Motion
from hgg_pyg.render import render
from hgg_pyg.types import Cameras

_BATCH = 16  # frames that are posed at a time
_NEAREST = 0.1  # metres, of a person before a camera


@torch.no_grad()
def avatar_pictures(
    avatar: Avatar,
    motion: Motion,
    cameras: Cameras,
    background: Tensor | None = None,
    sharpness: float = 1.0,
    device: str | torch.device = "cpu",
) -> Iterator[np.ndarray]:
    """An avatar in motion. Its Gaussians are drawn as wide as `footprint` says of each picture.

    Args:
        avatar: who is filmed.
        motion: T frames for its skeleton.
        cameras: T, one for each.
        background: [3] colour; None for transparent pictures.
        sharpness: 1 closes all gaps, see `footprint`.
        device: to compute on.

    Yields:
        T times [H, W, 3] uint8, or [H, W, 4] where they are transparent.

    Raises:
        UserError: the motion is for another skeleton.
    """
    avatar, pose, cameras = avatar.to(device), motion.pose(avatar.betas).to(device), cameras.to(device)
    animate, behind = Animator(avatar), torch.zeros(3) if background is None else background
    for first in range(0, len(motion), _BATCH):
        frames = range(first, min(first + _BATCH, len(motion)))
        posed = animate(pose[list(frames)])
        views = cameras[list(frames)]
        depths = (views.viewmats[:, 2, :3] * posed.means.mean(1)).sum(1) + views.viewmats[:, 2, 3]
        focals = (views.Ks[:, 0, 0] * views.Ks[:, 1, 1]).sqrt()
        for frame, (depth, focal) in enumerate(zip(depths.tolist(), focals.tolist(), strict=True)):
            blur = footprint(avatar.seen, focal, max(depth, _NEAREST), sharpness)
            shown = render(posed[frame], views[[frame]], behind, eps2d=blur)
            rgb, alpha = shown.rgb[0], shown.alpha[0]
            if background is None:
                rgb = torch.cat([rgb / alpha.clamp_min(1e-6), alpha], -1)
            yield (rgb.clamp(0, 1) * 255).round().byte().cpu().numpy()


def side_by_side(rows: Sequence[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Pictures of one height next to one another, from left to right.

    Raises:
        ValueError: one of them ends before the others.
    """
    for pictures in zip(*rows, strict=True):
        yield np.concatenate(pictures, 1)
