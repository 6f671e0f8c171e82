"""The intra-node operation: a vertex gathers from its Gaussians of all frames."""

from hgg_pyg.nn.attention_conv import AttentionConv


class IntraConv(AttentionConv):
    r"""Each vertex query attends to the Gaussians that bind to its vertex, of every frame (Eqs. 8-12).

    .. math::
        \tilde{q}_n = W_O \, \mathrm{softmax}_{g \in B_n(\mathcal{G})}
            \left( h_Q(q_n) \cdot h_K(g) / \sqrt{C} \right) h_V(g)

    per head. (Eq. 12 prints h_K for the values; the sentence below it names h_V.) A vertex without Gaussians gets
    exactly zero: no bias reaches it, so its residual stays as it was.

    Arguments and shapes are those of `AttentionConv`: (Gaussian features [P, F], queries [N, D] or [N, S, D]). Slots of
    a vertex attend to the Gaussians independently.
    """
