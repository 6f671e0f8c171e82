"""Inputs that do not fit one another are refused in one line that says what was expected and what was found."""

import pytest
import torch
from torch import Tensor

from hgg_pyg.attention import attend

EDGES = torch.tensor([[0, 3], [1, 0]])


def tensor(*shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=device)


@pytest.mark.parametrize(
    ("query", "key", "value", "message"),
    [
        (tensor(2, 3), tensor(4, 1, 3), tensor(4, 1, 3), r"query, key: expected .* found \[2, 3\] and \[4, 1, 3\]"),
        (tensor(2, 1, 3), tensor(4, 3), tensor(4, 3), r"query, key: expected .* found \[2, 1, 3\] and \[4, 3\]"),
        (tensor(2, 2, 3), tensor(4, 1, 3), tensor(4, 1, 3), r"key: expected .* \[2, 3\], found \[1, 3\]"),
        (tensor(2, 5, 2, 3), tensor(4, 2, 4), tensor(4, 2, 4), r"key: expected .* \[2, 3\], found \[2, 4\]"),
        (tensor(2, 1, 3), tensor(4, 1, 3), tensor(5, 1, 3), r"value: expected .* \[4, 1, 3\], found \[5, 1, 3\]"),
        (tensor(2, 1, 3), tensor(4, 1, 3), tensor(4, 1, 2), r"value: expected .* \[4, 1, 3\], found \[4, 1, 2\]"),
        (
            *(tensor(n, 1, 3, dtype=torch.int64) for n in (2, 4, 4)),
            r"expected floating point .* found torch.int64",
        ),
        (
            *(tensor(2, 1, 3), tensor(4, 1, 3), tensor(4, 1, 3, dtype=torch.float64)),
            r"expected floating point of one type .* torch.float64 on cpu",
        ),
        (
            *(tensor(2, 1, 3), tensor(4, 1, 3, dtype=torch.float64), tensor(4, 1, 3, dtype=torch.float64)),
            r"key: expected torch.float32, or half precision .* found torch.float64",
        ),
        (
            *(tensor(2, 1, 3, dtype=torch.float64), tensor(4, 1, 3), tensor(4, 1, 3)),
            r"key: expected torch.float64.* found torch.float32",
        ),
        (
            *(tensor(2, 1, 3), tensor(4, 1, 3), tensor(4, 1, 3, device="meta")),
            r"expected floating point of one type and device, found .* on meta",
        ),
        (
            *(tensor(2, 1, 3), tensor(4, 1, 3, device="meta"), tensor(4, 1, 3, device="meta")),
            r"expected floating point of one type and device, found .* on meta",
        ),
    ],
)
def test_are_refused_in_one_line(query: Tensor, key: Tensor, value: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        attend(query, key, value, EDGES)
    assert "\n" not in str(caught.value)


def test_edges_that_do_not_fit_the_nodes_are_refused() -> None:
    query, key = tensor(2, 1, 3), tensor(3, 1, 3)
    with pytest.raises(ValueError, match=r"edge_index: expected source indices in 0\.\.2, found 0\.\.3"):
        attend(query, key, key, EDGES)


def test_the_result_has_the_shape_and_the_type_of_the_query() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        for shape in ((2, 1, 3), (2, 5, 1, 3), (2, 0, 1, 3)):
            query, key = tensor(*shape, dtype=dtype), tensor(4, 1, 3, dtype=dtype)
            out = attend(query, key, key, EDGES)
            assert (out.shape, out.dtype) == (query.shape, dtype)
