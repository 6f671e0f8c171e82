"""Residuals by kernels against plain torch, which is what Gaussians that want gradients take."""

from dataclasses import replace

import pytest
import torch

from hgg_pyg.model.residual import apply_residual
from hgg_pyg.types import Gaussians

FIELDS = ("means", "quats", "scales", "opacities", "colors")


@pytest.mark.parametrize("surface", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_kernels_equal_plain_torch(dtype: torch.dtype, tolerance: float, surface: bool) -> None:
    """Beyond the clamps of sizes and logits too."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)

    gaussians = Gaussians(draw(300, 3), draw(300, 4) - 0.5, draw(300, 3), draw(300), draw(300, 3))
    axes = torch.linalg.qr(draw(300, 3, 3)).Q if surface else None
    delta = (4 * (draw(300, 13) - 0.5)).requires_grad_()
    with torch.no_grad():
        delta[:20] *= 10
    found = apply_residual(gaussians, delta, axes)
    expected = apply_residual(replace(gaussians, means=gaussians.means.clone().requires_grad_()), delta, axes)
    gradients = []
    for changed in (found, expected):
        fields = [getattr(changed, name) for name in FIELDS]
        weights = [torch.linspace(-1, 1, x.numel(), dtype=dtype).view_as(x) for x in fields]
        gradients.append(torch.autograd.grad(fields, delta, weights)[0])
    assert "_Apply" in str(found.means.grad_fn)
    assert "_Apply" not in str(expected.means.grad_fn)
    for name in FIELDS:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(*gradients, rtol=tolerance, atol=tolerance)
