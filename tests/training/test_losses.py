"""The training objective."""

import pytest
import torch

from hgg_pyg.training.losses import LossConfig, rendering_loss
from hgg_pyg.types import RenderOutput


@pytest.fixture
def images() -> tuple[RenderOutput, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rgb, alpha = torch.rand(3, 5, 6, 3, generator=generator), torch.rand(3, 5, 6, 1, generator=generator)
    faults = torch.tensor([0.01, 0.1, 0.3])[:, None, None, None]
    return RenderOutput(rgb + faults, alpha - faults, None), rgb, alpha


def test_mean_squared_errors(images):
    expected = (0.01**2 + 0.1**2 + 0.3**2) / 3
    assert rendering_loss(*images, LossConfig(alpha=0.5)).item() == pytest.approx(1.5 * expected, rel=1e-4)


def test_the_logarithm_counts_all_images_alike(images):
    found = rendering_loss(*images, LossConfig(alpha=0, error="log")).item()
    assert found == pytest.approx((-4 - 2 + 2 * torch.tensor(0.3).log10().item()) / 3, abs=5e-3)
    rendered, rgb, alpha = images
    leaf = rendered.rgb.clone().requires_grad_()
    rendering_loss(RenderOutput(leaf, rendered.alpha, None), rgb, alpha, LossConfig(alpha=0, error="log")).backward()
    norms = (leaf.grad * (leaf - rgb)).flatten(1).sum(1)  # per image, by how much a smaller error helps
    torch.testing.assert_close(norms, norms[:1].expand(3), rtol=0.02, atol=0)
    with pytest.raises(ValueError, match="error: expected one of mse, log"):
        LossConfig(error="db")  # pyright: ignore[reportArgumentType]
