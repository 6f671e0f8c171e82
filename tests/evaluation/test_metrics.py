import importlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import peak_signal_noise_ratio

from hgg_pyg.evaluation.lpips import _STAGES, BACKBONE_FILES, LPIPS, find_lpips_weights, load_all_lpips, load_lpips
from hgg_pyg.evaluation.metrics import image_scores, psnr, region_scores, ssim_map
from hgg_pyg.training.losses import LossConfig, rendering_loss
from hgg_pyg.types import RenderOutput, UserError


def images(count: int = 2, size: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(seed))


def test_psnr_equals_torchmetrics_and_clamps_the_prediction():
    truth, prediction = images(), images(seed=1) * 1.5 - 0.25
    expected = [
        peak_signal_noise_ratio(p.clamp(0, 1), t, data_range=1.0) for p, t in zip(prediction, truth, strict=True)
    ]
    assert torch.allclose(psnr(prediction, truth), torch.stack(expected), atol=1e-4)


def plain_ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Wang et al.'s formula in float64 at every pixel, images mirrored at their borders. [V, H, W, 3] -> [V, H, W]"""
    x, y = (F.pad(image.double().permute(0, 3, 1, 2), (5, 5, 5, 5), mode="reflect") for image in (x, y))
    line = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    window = torch.outer(line, line) / line.sum() ** 2

    def blur(image: torch.Tensor) -> torch.Tensor:
        return F.conv2d(image, window.expand(3, 1, 11, 11), groups=3)

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    return ((2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))).mean(1)


def test_ssim_is_wang_s_formula_at_every_pixel_and_in_the_mean():
    truth, prediction = images(2, 40), images(2, 40) + torch.linspace(0, 2, 40)[:, None] * (images(2, 40, seed=1) - 0.5)
    expected = plain_ssim(prediction.clamp(0, 1), truth)
    torch.testing.assert_close(ssim_map(prediction, truth).double(), expected, rtol=0, atol=1e-5)
    found = image_scores(prediction, truth).ssim.double()
    torch.testing.assert_close(found, expected.mean((1, 2)), rtol=0, atol=1e-6)
    inner = expected[:, 5:-5, 5:-5].mean((1, 2))  # of windows that do not reach over the border: another definition
    assert ((found - inner).abs() > 1e-3).all()


def test_the_loss_is_the_paper_s():
    rgb, alpha = images(), images(seed=1)[..., :1]
    rendered = RenderOutput(images(seed=2), images(seed=3)[..., :1], torch.zeros(2, 32, 32, 1))
    color, cover = (rendered.rgb - rgb).square().mean(), (rendered.alpha - alpha).square().mean()
    assert torch.allclose(rendering_loss(rendered, rgb, alpha, LossConfig(alpha=0.5)), color + 0.5 * cover)


def person(count: int = 2, size: int = 32) -> torch.Tensor:
    """An L that differs from image to image, with soft edges that do not count as the person."""
    alpha = torch.zeros(count, size, size, 1)
    for i in range(count):
        alpha[i, 4 : 20 + i, 6 + i : 21] = 0.4
        alpha[i, 5 : 19 + i, 7 + i : 20] = 1
        alpha[i, 5:12, 14:20] = 0
    return alpha


def test_regions_are_what_plain_formulas_say():
    truth, alpha = images(), person()
    prediction = truth + torch.linspace(0, 2, 32)[:, None] * (images(seed=1) - 0.5)  # worse further down
    found = region_scores(prediction, truth, alpha)
    similarity = ssim_map(prediction, truth).double().numpy()
    for i in range(2):
        clamped, wanted = prediction[i].double().clamp(0, 1).numpy(), truth[i].double().numpy()
        inside = alpha[i, ..., 0].numpy() > 0.5
        box = np.s_[5 : 19 + i, 7 + i : 20]
        expected = [
            -10 * np.log10(np.mean((clamped - wanted) ** 2)),
            -10 * np.log10(np.mean((clamped - wanted)[inside] ** 2)),
            -10 * np.log10(np.mean((clamped - wanted)[box] ** 2)),
        ]
        psnrs = [region.psnr[i].item() for region in (found.image, found.mask, found.box)]
        assert psnrs == pytest.approx(expected, abs=1e-4)
        assert found.image.ssim[i].item() == pytest.approx(similarity[i].mean(), abs=1e-5)
        assert found.mask.ssim[i].item() == pytest.approx(similarity[i][inside].mean(), abs=1e-5)
        cut = image_scores(prediction[i : i + 1][:, box[0], box[1]], truth[i : i + 1][:, box[0], box[1]])
        assert found.box.ssim[i].item() == pytest.approx(cut.ssim.item(), abs=1e-5)
    assert min(np.diff(sorted(psnrs))) > 0.1  # the regions differ


def test_small_boxes_grow_inwards_and_empty_masks_have_no_score():
    truth, prediction = images(3), images(3, seed=1)
    alpha = torch.zeros(3, 32, 32, 1)
    alpha[0, 30, 1] = 1  # a single pixel in a corner
    alpha[1] = 1
    found = region_scores(prediction, truth, alpha)
    corner = image_scores(prediction[:1, 21:32, 0:11], truth[:1, 21:32, 0:11])
    assert found.box.psnr[0].item() == pytest.approx(corner.psnr.item(), abs=1e-4)
    assert found.box.ssim[0].item() == pytest.approx(corner.ssim.item(), abs=1e-5)
    for region in (found.mask, found.box):
        assert region.psnr[1].item() == pytest.approx(found.image.psnr[1].item(), abs=1e-4)
        assert region.ssim[1].item() == pytest.approx(found.image.ssim[1].item(), abs=1e-5)
        assert torch.isnan(region.psnr[2])
        assert torch.isnan(region.ssim[2])
    torch.testing.assert_close(found.image.psnr, psnr(prediction, truth))  # of those without a mask too


def torchvision_layout(network: str) -> torch.nn.Sequential:
    """`features` of torchvision's model, with random weights."""
    layers: list[torch.nn.Module] = []
    for pooling, convolutions in _STAGES[network]:
        if pooling:
            layers.append(torch.nn.MaxPool2d(*pooling))
        for shape in convolutions:
            layers += [torch.nn.Conv2d(*shape), torch.nn.ReLU()]
    generator = torch.Generator().manual_seed(0)
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d):
            std = (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.data = std * torch.randn(layer.weight.shape, generator=generator)
            layer.bias.data.zero_()
    return torch.nn.Sequential(*layers)


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """Random weights of both networks in the layout of the released files, in one folder."""
    folder = tmp_path_factory.mktemp("weights")
    for network, name in BACKBONE_FILES.items():
        weights = torchvision_layout(network).state_dict()
        state = {f"features.{key}": value for key, value in weights.items()}
        torch.save({**state, "classifier.0.weight": torch.zeros(1)}, folder / name)
    return folder


@pytest.mark.parametrize(
    ("network", "convolutions"),
    [("alex", [0, 3, 6, 8, 10]), ("vgg", [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28])],
)
def test_lpips_equals_torchmetrics_on_the_same_weights(backbones, monkeypatch, network, convolutions):
    layers = torchvision_layout(network)
    assert [i for i, layer in enumerate(layers) if isinstance(layer, torch.nn.Conv2d)] == convolutions  # torchvision's
    module = importlib.import_module("torchmetrics.functional.image.lpips")
    monkeypatch.setattr(module, "_get_tv_model_features", lambda *_: layers)
    expected = module._LPIPS(net=network)
    own = LPIPS(backbones / BACKBONE_FILES[network], network)
    x, y = images(size=48), images(size=48, seed=1)
    reference = expected(x.permute(0, 3, 1, 2), y.permute(0, 3, 1, 2), normalize=True).reshape(2)
    assert reference.min() > 0.01
    assert torch.allclose(own(x, y), reference, rtol=1e-3)


def test_lpips_is_a_distance_that_the_loss_uses(backbones, monkeypatch):
    monkeypatch.setenv("HGG_LPIPS", str(backbones))
    assert [lpips.network for lpips in load_all_lpips()] == ["alex", "vgg"]
    lpips = load_lpips()
    assert lpips is not None
    x, y = images(), images(seed=1)
    assert torch.equal(lpips(x, x), torch.zeros(2))
    assert torch.allclose(lpips(x, y), lpips(y, x))
    assert (lpips(x, y) > lpips(x, 0.9 * x + 0.1 * y)).all()
    rendered = RenderOutput(x, x[..., :1], x[..., :1])
    with_term = rendering_loss(rendered, y, x[..., :1], LossConfig(lpips=2.0), lpips)
    assert torch.allclose(with_term, (x - y).square().mean() + 2 * lpips(x, y).mean())


def test_lpips_without_weights_is_left_out_and_with_wrong_ones_refused(backbones, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert find_lpips_weights() is None
    assert load_lpips() is None
    assert load_all_lpips() == ()
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"wrong\.pth: expected weights of VGG-16"):
        LPIPS(wrong)
    torch.save({"features.0.weight": torch.zeros(1)}, wrong)
    with pytest.raises(UserError, match="expected the 26 tensors"):
        LPIPS(wrong)
    state = torch.load(backbones / BACKBONE_FILES["alex"], weights_only=True)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, wrong)
    own = LPIPS(wrong, "alex")  # of a wrapped network, as a trainer saved it
    assert torch.equal(next(own.stages.parameters()), next(iter(state.values())))
    with pytest.raises(UserError, match=r"expected the 10 tensors features\.\* of AlexNet, found 26"):
        LPIPS(backbones / BACKBONE_FILES["vgg"], "alex")
