"""One layer of the Human Gaussian Graph: intra-node, feed-forward, inter-node, feed-forward."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from hgg_pyg.attention import Edges
from hgg_pyg.nn.inter import InterConv
from hgg_pyg.nn.intra import IntraConv
from hgg_pyg.nn.pyg import PyGConv, PyGLayer


class GraphBlock(nn.Module):
    r"""One turn of Algorithm 2's outer loop (Eqs. 8-16), every step with its residual.

    .. math::
        q \leftarrow q + \mathrm{Intra}(\mathrm{LN}(q), g), \quad q \leftarrow q + \mathrm{FFN}(\mathrm{LN}(q)), \quad
        q \leftarrow q + \mathrm{Inter}(\mathrm{LN}(q)), \quad q \leftarrow q + \mathrm{FFN}(\mathrm{LN}(q))

    with norm="pre"; norm="post" is q <- LN(q + step(q)), as in the authors' release. The intra step adds exactly zero
    to a vertex without Gaussians.

    Args:
        dim: channels D of a query.
        source_dim: channels of a Gaussian's features.
        heads: attention heads, a divisor of `dim`.
        ffn_ratio: hidden channels of the feed-forward networks, as a multiple of `dim`.
        dropout: probability of dropping attention weights and feed-forward outputs in training.
        norm: where the layer norms stand.
        intra: False drops the intra-node attention and its feed-forward network (Table 2, "w.o. intra").
        inter: False drops the inter-node attention and its feed-forward network (Table 2, "w.o. inter").
        attention: the variant behind our layers, a name from `hgg_pyg.attention.variants()`, or "auto".
        fold: whether `IntraConv` may project on the vertices' side.
        layer: "ours", or a layer of PyG in the place of both, which knows neither `attention` nor `fold`.

    Shapes:
        - **input:** queries [N, D] or [N, S, D]; Gaussian features [P, source_dim]; `binds` [2, E_g] Gaussian-to-vertex
          edges; `near` [2, E_v] vertex-to-vertex edges; either may be `Edges`
        - **output:** like the queries

    Raises:
        ValueError: `norm` is neither "pre" nor "post", or `heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int,
        source_dim: int,
        heads: int = 4,
        ffn_ratio: int = 2,
        dropout: float = 0.0,
        norm: Literal["pre", "post"] = "pre",
        intra: bool = True,
        inter: bool = True,
        attention: str = "scatter",
        fold: bool = False,
        layer: Literal["ours"] | PyGLayer = "ours",
    ) -> None:
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f'GraphBlock.norm: expected "pre" or "post", found {norm!r}')
        self.norm = norm
        if layer == "ours":
            self.intra = IntraConv(source_dim, dim, heads, dropout, attention, fold) if intra else None
            self.inter = InterConv(dim, heads, dropout, attention) if inter else None
        else:
            self.intra = PyGConv(layer, source_dim, dim, heads, dropout) if intra else None
            self.inter = PyGConv(layer, dim, dim, heads, dropout) if inter else None
        self.intra_ffn = _feed_forward(dim, ffn_ratio, dropout) if intra else None
        self.inter_ffn = _feed_forward(dim, ffn_ratio, dropout) if inter else None
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2 * intra + 2 * inter))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if module is not self and callable(reset):
                reset()

    def forward(self, q: Tensor, x_gaussian: Tensor, binds: Tensor | Edges, near: Tensor | Edges) -> Tensor:
        """Update the queries; see the class for shapes."""
        intra, inter = self.intra, self.inter
        steps: list[Callable[[Tensor], Tensor]] = []
        if intra is not None and self.intra_ffn is not None:
            steps += [lambda h: intra((x_gaussian, h), binds), self.intra_ffn]
        if inter is not None and self.inter_ffn is not None:
            steps += [lambda h: inter(h, near), self.inter_ffn]
        for norm, step in zip(self.norms, steps, strict=True):
            q = q + step(norm(q)) if self.norm == "pre" else norm(q + step(q))
        return q


def _feed_forward(dim: int, ratio: int, dropout: float) -> nn.Sequential:
    """The transformer's feed-forward network of Eqs. 13 and 16."""
    hidden = dim * ratio
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim), nn.Dropout(dropout))
