"""The one shape of a person, whatever rows of betas the files have."""

from pathlib import Path

import pytest
import torch

from hgg_pyg.data.layouts.base import one_shape
from hgg_pyg.types import UserError


@pytest.mark.parametrize(
    ("betas", "message"),
    [
        (torch.zeros(3, 0), "expected a value for each shape direction of the body, found none"),
        (torch.full((2, 10), torch.nan), "expected finite numbers, found NaN or Inf"),
        (torch.full((1, 10), 1e30), "expected at most 100, as of a person, found 1e"),
        (torch.ones(1, 16), "expected at most 10 values, one for each shape direction .* found 16; give a body with 16"),
    ],
)
def test_no_shape_is_refused(body, tmp_path: Path, betas: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError, match=f"key 'betas': {message}"):
        one_shape(betas, tmp_path / "smpl_params.npz", tmp_path, body)


def test_the_median_is_taken_and_surplus_zeros_are_dropped(body, tmp_path: Path) -> None:
    betas = torch.zeros(4, 16)
    betas[:, 0] = torch.tensor([0.9, 1.0, 1.1, torch.nan])
    expected = torch.zeros(10)
    expected[0] = 1
    assert torch.equal(one_shape(betas, tmp_path / "smpl_params.npz", tmp_path, body), expected)
