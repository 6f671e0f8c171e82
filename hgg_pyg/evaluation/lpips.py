"""LPIPS (Zhang et al. 2018) where its weights are on disk. `hgg_pyg.weights` fetches them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, cast

import torch
import torchmetrics.functional.image
from torch import Tensor, nn

from hgg_pyg.io.shown import shown
from hgg_pyg.io.weights import innermost, own_names
from hgg_pyg.types import UserError

Network = Literal["alex", "vgg"]
NETWORKS: dict[Network, str] = {"alex": "AlexNet", "vgg": "VGG-16"}
BACKBONE_FILES: dict[Network, str] = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
BACKBONE_FILE = BACKBONE_FILES["vgg"]  # of the loss
LEAST_SIZE = 32  # pixels: what both networks can halve to their last stage

# Five stages: pooling before it (window, stride) or None, then convolutions (from, to, window, stride, padding).
_Stage = tuple[tuple[int, int] | None, tuple[tuple[int, int, int, int, int], ...]]


def _vgg_stage(before: int, channels: int, convolutions: int) -> _Stage:
    inputs = (before, *[channels] * (convolutions - 1))
    return (2, 2) if before != 3 else None, tuple((c, channels, 3, 1, 1) for c in inputs)


_STAGES: dict[Network, tuple[_Stage, ...]] = {
    "alex": (
        (None, ((3, 64, 11, 4, 2),)),
        ((3, 2), ((64, 192, 5, 1, 2),)),
        ((3, 2), ((192, 384, 3, 1, 1),)),
        (None, ((384, 256, 3, 1, 1),)),
        (None, ((256, 256, 3, 1, 1),)),
    ),
    "vgg": (
        _vgg_stage(3, 64, 2),
        _vgg_stage(64, 128, 2),
        _vgg_stage(128, 256, 3),
        _vgg_stage(256, 512, 3),
        _vgg_stage(512, 512, 3),
    ),
}


class LPIPS(nn.Module):
    r"""Learned perceptual distance with AlexNet or VGG-16.

    .. math:: d(x, y) = \sum_l \mathrm{mean}_{hw} \, w_l \cdot (\hat f_l(x) - \hat f_l(y))^2

    with :math:`\hat f_l` the features after stage l's last ReLU, normalised over channels, and :math:`w_l` the linear
    heads of version 0.1, which come with torchmetrics.

    Args:
        backbone: ImageNet weights in torchvision's naming (`features.0.weight`, ...).
        network: whose they are.

    Raises:
        UserError: the file is not such a set of weights.
    """

    def __init__(self, backbone: Path, network: Network = "vgg") -> None:
        super().__init__()
        self.network: Network = network
        self.stages = nn.ModuleList()
        for pooling, convolutions in _STAGES[network]:
            layers: list[nn.Module] = [nn.MaxPool2d(*pooling)] if pooling else []
            for shape in convolutions:
                layers += [nn.Conv2d(*shape), nn.ReLU()]
            self.stages.append(nn.Sequential(*layers))
        heads = Path(torchmetrics.functional.image.__file__).with_name("lpips_models") / f"{network}.pth"
        for i, weight in enumerate(torch.load(heads, weights_only=True, map_location="cpu").values()):
            self.register_buffer(f"head{i}", weight)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self._load(backbone)
        self.requires_grad_(False).eval()

    def _load(self, path: Path) -> None:
        title = NETWORKS[self.network]
        try:
            # Of a map no more can be read than there is; of a file memory is taken for as much as is asked for.
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                stored = torch.load(cast(IO[bytes], content), weights_only=True, map_location="cpu")
        except Exception as error:  # torch reads three formats, and damage to each ends in another way
            said = shown(error, 200) or type(error).__name__
            raise UserError(f"{path}: expected weights of {title} ({said})") from None
        inside = innermost(stored)
        weights = inside.items() if isinstance(inside, Mapping) else ()
        named = {name: value for name, value in weights if isinstance(name, str) and isinstance(value, Tensor)}
        named = own_names(named, ("features.0.weight",))
        tensors = [tensor for name, tensor in named.items() if name.startswith("features.")]
        own = list(self.stages.parameters())
        if [tuple(t.shape) for t in tensors] != [tuple(p.shape) for p in own]:
            wanted = f"the {len(own)} tensors features.* of {title}"
            raise UserError(f"{path}: expected {wanted}, found {len(tensors)} that differ")
        with torch.no_grad():
            for parameter, tensor in zip(own, tensors, strict=True):
                parameter.copy_(tensor)

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Distance of each pair. [V, H, W, 3] in [0, 1], twice -> [V]"""
        return self.distance(self.features(prediction), self.features(truth))

    def features(self, images: Tensor) -> list[Tensor]:
        """The normalised features of five stages. [V, H, W, 3] in [0, 1] -> five times [V, C, h, w]"""
        x = (2 * images.permute(0, 3, 1, 2) - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(_unit(x))
        return found

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Distance of each pair of images by their features. [V]"""
        total = first[0].new_zeros(len(first[0]))
        for i, (x, y) in enumerate(zip(first, second, strict=True)):
            total = total + ((x - y).square() * self.get_buffer(f"head{i}")).sum(1).mean((1, 2))
        return total


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def find_lpips_weights(network: Network = "vgg") -> Path | None:
    """A network's file in $HGG_LPIPS (a folder) or in torch hub's cache, or None."""
    folders = [os.environ.get("HGG_LPIPS"), Path(torch.hub.get_dir()) / "checkpoints"]
    paths = [Path(folder) / BACKBONE_FILES[network] for folder in folders if folder]
    return next((path for path in paths if path.is_file()), None)


def load_lpips(network: Network = "vgg") -> LPIPS | None:
    """LPIPS if its weights are on disk, else None: the caller says so and goes without.

    Raises:
        UserError: the file is there but damaged.
    """
    path = find_lpips_weights(network)
    return None if path is None else LPIPS(path, network)


def load_all_lpips() -> tuple[LPIPS, ...]:
    """LPIPS with each network whose weights are on disk.

    Raises:
        UserError: a file is there but damaged.
    """
    found = (load_lpips(network) for network in NETWORKS)
    return tuple(lpips for lpips in found if lpips is not None)
