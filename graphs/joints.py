"""The poses of a clip as a graph: the joints of each frame, along the kinematic tree and over time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphs.names import BENDS, JOINT, LASTS


def joint_graph(parents: Sequence[int], frames: int, x: Tensor | None = None) -> HeteroData:
    """The joints of a body in T frames, frame by frame.

    Args:
        parents: [J] each joint's parent, -1 for the root.
        frames: T.
        x: [T * J, C] what is known of each.

    Returns:
        HeteroData:
            joint: joint_id [T * J] int64, the joint of the body; frame [T * J] int64; x
            (joint, bends, joint): a joint with its parent, its children and itself, in the same frame
            (joint, lasts, joint): a joint in one frame with itself in all frames

        Edges are sorted by target, then source.
    """
    count = len(parents)
    tree = torch.eye(count, dtype=torch.bool)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            tree[joint, parent] = tree[parent, joint] = True
    data = HeteroData()
    data[JOINT].num_nodes = frames * count
    data[JOINT].joint_id = torch.arange(count).repeat(frames)
    data[JOINT].frame = torch.arange(frames).repeat_interleave(count)
    if x is not None:
        data[JOINT].x = x
    targets, sources = tree.nonzero().T  # by target, then source
    shifts = count * torch.arange(frames)[:, None]
    data[BENDS].edge_index = torch.stack([(sources + shifts).flatten(), (targets + shifts).flatten()])
    nodes = torch.arange(frames * count)
    others = nodes % count + shifts  # [T, T * J]
    data[LASTS].edge_index = torch.stack([others.T.flatten(), nodes.repeat_interleave(frames)])
    return data
