import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from hgg_pyg.losses import LossConfig, rendering_loss
from hgg_pyg.lpips import _STAGES, BACKBONE_FILE, LPIPS, find_lpips_weights, load_lpips
from hgg_pyg.metrics import image_scores, psnr
from hgg_pyg.types import RenderOutput, UserError


def images(count: int = 2, size: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(seed))


def test_psnr_equals_torchmetrics_and_clamps_the_prediction():
    truth, prediction = images(), images(seed=1) * 1.5 - 0.25
    expected = [
        peak_signal_noise_ratio(p.clamp(0, 1), t, data_range=1.0) for p, t in zip(prediction, truth, strict=True)
    ]
    assert torch.allclose(psnr(prediction, truth), torch.stack(expected), atol=1e-4)


def test_ssim_equals_a_plain_gaussian_window():
    truth, prediction = images(1), (images(1) + 0.1 * images(1, seed=1)).clamp(0, 1)
    line = torch.exp(-0.5 * ((torch.arange(11) - 5) / 1.5) ** 2)
    window = torch.outer(line, line)
    window = (window / window.sum())[None, None]

    def blur(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x.permute(3, 0, 1, 2), window)

    x, y = prediction, truth
    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    expected = ((2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))).mean()
    assert image_scores(prediction, truth).ssim.item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_loss_is_the_paper_s():
    rgb, alpha = images(), images(seed=1)[..., :1]
    drawn = RenderOutput(images(seed=2), images(seed=3)[..., :1], torch.zeros(2, 32, 32, 1))
    color, cover = (drawn.rgb - rgb).square().mean(), (drawn.alpha - alpha).square().mean()
    assert torch.allclose(rendering_loss(drawn, rgb, alpha, LossConfig(alpha=0.5)), color + 0.5 * cover)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """Random weights in the layout of the released file."""
    generator = torch.Generator().manual_seed(0)
    state, before, layer = {}, 3, 0
    for channels, convolutions in _STAGES:
        for _ in range(convolutions):
            std = (2 / (9 * before)) ** 0.5
            state[f"features.{layer}.weight"] = std * torch.randn(channels, before, 3, 3, generator=generator)
            state[f"features.{layer}.bias"] = torch.zeros(channels)
            before, layer = channels, layer + 2
        layer += 1
    state["classifier.0.weight"] = torch.zeros(1)
    path = tmp_path_factory.mktemp("weights") / BACKBONE_FILE
    torch.save(state, path)
    return path


def test_lpips_is_a_distance_that_the_loss_uses(vgg, monkeypatch):
    monkeypatch.setenv("HGG_LPIPS", str(vgg.parent))
    lpips = load_lpips()
    assert lpips is not None
    x, y = images(), images(seed=1)
    assert torch.equal(lpips(x, x), torch.zeros(2))
    assert torch.allclose(lpips(x, y), lpips(y, x))
    assert (lpips(x, y) > lpips(x, 0.9 * x + 0.1 * y)).all()
    drawn = RenderOutput(x, x[..., :1], x[..., :1])
    with_term = rendering_loss(drawn, y, x[..., :1], LossConfig(lpips=2.0), lpips)
    assert torch.allclose(with_term, (x - y).square().mean() + 2 * lpips(x, y).mean())


def test_lpips_without_weights_is_left_out_and_with_wrong_ones_refused(vgg, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert find_lpips_weights() is None
    assert load_lpips() is None
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"wrong\.pth: expected weights of VGG-16"):
        LPIPS(wrong)
    torch.save({"features.0.weight": torch.zeros(1)}, wrong)
    with pytest.raises(UserError, match="expected the 26 tensors"):
        LPIPS(wrong)
