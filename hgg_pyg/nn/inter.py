"""The inter-node operation: a vertex gathers from its neighbours on the mesh."""

from hgg_pyg.nn.attention_conv import AttentionConv


class InterConv(AttentionConv):
    r"""Each vertex query attends to the queries of the vertices near it on the mesh (Eqs. 14, 15).

    .. math::
        \tilde{q}_n = W_O \, \mathrm{softmax}_{s \in B_n(\mathcal{V})}
            \left( h_Q(q_n) \cdot h_K(q_s) / \sqrt{C} \right) h_V(q_s)

    per head. With S slots per vertex, slot i attends to slot i of the neighbours, as in the authors' release: the cost
    grows with S, not S squared, and slots mix in the read-out. A vertex without neighbours gets exactly zero.

    Arguments and shapes are those of `AttentionConv`: one tensor of queries, [N, D] or [N, S, D], or a pair.
    """
