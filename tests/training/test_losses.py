"""The training objective."""

import pytest
import torch

from hgg_pyg.training.losses import LossConfig, describe_loss, rendering_loss
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


class Distance(torch.nn.Module):
    """In the place of LPIPS: the mean distance of each pair, and how many pairs it was asked about."""

    asked = 0

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        self.asked += len(first)
        return (first - second).abs().flatten(1).mean(1)


def test_lpips_of_some_views_is_that_of_all_on_average(images):
    rendered, rgb, alpha = images
    rendered = RenderOutput(rendered.rgb.clamp(0, 1), rendered.alpha, None)
    whole, some = Distance(), Distance()
    without = rendering_loss(rendered, rgb, alpha, LossConfig())
    wanted = rendering_loss(rendered, rgb, alpha, LossConfig(lpips=2), whole) - without
    assert wanted > 0.01
    torch.manual_seed(0)
    config = LossConfig(lpips=2, lpips_views=2)
    found = torch.stack([rendering_loss(rendered, rgb, alpha, config, some) - without for _ in range(300)])
    assert (whole.asked, some.asked) == (3, 600)
    assert found.std() > 0.1 * wanted
    torch.testing.assert_close(found.mean(), wanted, rtol=0.05, atol=0)
    drawn = torch.random.get_rng_state()
    assert rendering_loss(rendered, rgb, alpha, LossConfig(lpips=2, lpips_views=3), some) - without == wanted
    assert torch.equal(torch.random.get_rng_state(), drawn)  # as runs were before there was this choice


def test_no_weight_is_no_term(images):
    lpips = Distance()
    assert rendering_loss(*images, LossConfig(lpips=0), lpips) == rendering_loss(*images, LossConfig())
    assert lpips.asked == 0


@pytest.mark.parametrize(
    ("config", "lpips", "said"),
    [
        (LossConfig(), True, "squared error of colour and 1 of alpha; 1 LPIPS (VGG-16) of all images of a clip"),
        (LossConfig(lpips_views=1), True, "1 LPIPS (VGG-16) of 1 random image of a clip"),
        (LossConfig(lpips=0), True, "no LPIPS"),
        (LossConfig(error="log"), False, "logarithm of the squared error of colour and 1 of alpha; no LPIPS"),
    ],
)
def test_a_loss_is_said_in_words(config, lpips, said):
    assert describe_loss(config, lpips).endswith(said)
