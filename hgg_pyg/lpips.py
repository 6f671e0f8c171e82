"""LPIPS (Zhang et al. 2018) where its weights are on disk. The VGG-16 backbone is a download that we never make."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch
import torchmetrics.functional.image
from torch import Tensor, nn

from hgg_pyg.types import UserError

BACKBONE_FILE = "vgg16-397923af.pth"
_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of VGG-16's five stages


class LPIPS(nn.Module):
    r"""Learned perceptual distance with VGG-16.

    .. math:: d(x, y) = \sum_l \mathrm{mean}_{hw} \, w_l \cdot (\hat f_l(x) - \hat f_l(y))^2

    with :math:`\hat f_l` the features after stage l's last ReLU, normalised over channels, and :math:`w_l` the linear
    heads, which come with torchmetrics.

    Args:
        backbone: ImageNet weights of VGG-16 in torchvision's naming (`features.0.weight`, ...).

    Raises:
        UserError: the file is not such a set of weights.
    """

    def __init__(self, backbone: Path) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before = 3
        for stage, (channels, convolutions) in enumerate(_STAGES):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stage else []
            for _ in range(convolutions):
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
                before = channels
            self.stages.append(nn.Sequential(*layers))
        heads = Path(torchmetrics.functional.image.__file__).with_name("lpips_models") / "vgg.pth"
        for i, weight in enumerate(torch.load(heads, weights_only=True, map_location="cpu").values()):
            self.register_buffer(f"head{i}", weight)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self._load(backbone)
        self.requires_grad_(False).eval()

    def _load(self, path: Path) -> None:
        try:
            stored = torch.load(path, weights_only=True, map_location="cpu")
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise UserError(f"{path}: expected weights of VGG-16 ({str(error).splitlines()[0]})") from None
        tensors = [v for k, v in stored.items() if k.startswith("features.")] if isinstance(stored, dict) else []
        own = list(self.stages.parameters())
        if [tuple(t.shape) for t in tensors] != [tuple(p.shape) for p in own]:
            raise UserError(f"{path}: expected the 26 tensors features.* of VGG-16, found {len(tensors)} that differ")
        with torch.no_grad():
            for parameter, tensor in zip(own, tensors, strict=True):
                parameter.copy_(tensor)

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Distance of each pair. [V, H, W, 3] in [0, 1], twice -> [V]"""
        shift, scale = self.get_buffer("shift"), self.get_buffer("scale")
        x, y = ((2 * images.permute(0, 3, 1, 2) - 1 - shift) / scale for images in (prediction, truth))
        total = prediction.new_zeros(len(prediction))
        for i, stage in enumerate(self.stages):
            x, y = stage(x), stage(y)
            difference = (_unit(x) - _unit(y)).square()
            total = total + (difference * self.get_buffer(f"head{i}")).sum(1).mean((1, 2))
        return total


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def find_lpips_weights() -> Path | None:
    """The VGG-16 file in $HGG_LPIPS (a folder) or in torch hub's cache, or None."""
    folders = [os.environ.get("HGG_LPIPS"), Path(torch.hub.get_dir()) / "checkpoints"]
    paths = [Path(folder) / BACKBONE_FILE for folder in folders if folder]
    return next((path for path in paths if path.is_file()), None)


def load_lpips() -> LPIPS | None:
    """LPIPS if its weights are on disk, else None: the caller says so and goes without.

    Raises:
        UserError: the file is there but damaged.
    """
    path = find_lpips_weights()
    return None if path is None else LPIPS(path)
