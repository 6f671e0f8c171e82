"""LGM as a per-frame backbone: the images of four cameras to Gaussians in our world, with features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from hgg_pyg.backbones.base import FromImages, Moment
from hgg_pyg.backbones.lgm.anchors import anchors_for
from hgg_pyg.backbones.lgm.cameras import LGMFrame, crop_cameras, crop_images, lgm_frame, network_input
from hgg_pyg.backbones.lgm.checkpoint import load_lgm
from hgg_pyg.backbones.lgm.network import VIEWS, Predicted, Preset
from hgg_pyg.backbones.local import Local, localise
from hgg_pyg.config import Pixels, check_choices
from hgg_pyg.types import Gaussians

_VERSION = 2  # raise it whenever the same input gives another result


@dataclass(frozen=True)
class LGMConfig:
    """Which LGM."""

    checkpoint: Path | None = None
    """safetensors file: the released model_fp16_fixrot.safetensors, or one written by fine-tuning"""
    preset: Preset | None = None
    """network size: big, small or tiny as released, or our micro; by default the checkpoint's, else big"""
    size: Pixels | None = None
    """width and height of the input images, cropped to the person, in pixels; by default the checkpoint's, else 256"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.size is not None and self.size % 32:
            raise ValueError(f"LGMConfig.size: expected a multiple of 32, found {self.size}")


class LGMBackbone(FromImages):
    """Four images, cut around the person, through LGM; its Gaussians in metres in our world.

    Features of a Gaussian are the last activation of the U-Net, what it says of opacity, size and colour before and
    after activation, and, since place and orientation are those of a pose, both relative to the nearest vertex of the
    body in the rest pose's axes.

    Raises:
        UserError: there is no checkpoint, or it is of another preset.
    """

    views: int | None = VIEWS

    def __init__(self, config: LGMConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        loaded = load_lgm(config.checkpoint, config.preset, config.size)
        self.preset, self.size = loaded.preset, loaded.size
        self.one_core = torch.device(device).type == "cpu"
        self.network = loaded.network.to(torch.device(device)).to(memory_format=torch.channels_last)  # pyright: ignore
        assert config.checkpoint is not None
        with config.checkpoint.open("rb") as file:
            self._weights = hashlib.file_digest(file, "sha256").hexdigest()
        hidden = self.network.unet.config.up[-1]
        self.feature_names = (*(f"hidden_{i}" for i in range(hidden)), *_named())

    @property
    def feature_dim(self) -> int:
        """C."""
        return len(self.feature_names)

    @property
    def digest(self) -> str:
        """Hash of the version, the preset, the size and the weights."""
        text = f"{type(self).__name__} {_VERSION} {self.preset} {self.size} {self._weights}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @torch.no_grad()
    def __call__(self, moment: Moment) -> Gaussians:
        """Gaussians in the world with features [M, C], float32, on the CPU; bfloat16 inside on CUDA.

        Raises:
            ValueError: there are not four views, or shapes do not fit.
        """
        if len(moment.cameras) != VIEWS:
            raise ValueError(f"LGMBackbone: expected {VIEWS} views, found {len(moment.cameras)}")
        images, masks = moment.pixels()
        own = next(self.network.parameters()).device
        cameras, vertices = moment.cameras.to(own), moment.vertices.to(own)
        frame = lgm_frame(vertices, cameras)
        crops = crop_cameras(cameras, frame, self.size)
        shown, _ = crop_images(images.to(own), masks.to(own), cameras, crops)
        inputs = network_input(shown, frame.cameras_to_lgm(crops))
        anchors = anchors_for(self.network, cameras, frame, self.size, vertices, moment.faces)
        with torch.autocast(own.type, torch.bfloat16, enabled=own.type == "cuda"):
            predicted = self.network(inputs[None], anchors)
        gaussians = to_world(predicted, frame)
        features = _features(
            predicted, gaussians, localise(gaussians.means, vertices, moment.vertex_transforms.to(own))
        )
        return replace(gaussians, features=features).to(device="cpu", dtype=torch.float32)


def to_world(predicted: Predicted, frame: LGMFrame) -> Gaussians:
    """The Gaussians of the first object in our world, metres. [M]"""
    return Gaussians(
        means=frame.points_to_world(predicted.means[0]),
        quats=frame.quats_to_world(predicted.quats[0]),
        scales=predicted.scales[0] / frame.scale,
        opacities=predicted.opacities[0],
        colors=predicted.colors[0],
    )


def _named() -> Iterator[str]:
    for name, width in (("offset", 3), ("rotation", 4), ("raw_opacity", 1), ("raw_size", 3), ("raw_color", 3),
                        ("opacity", 1), ("size", 3), ("color", 3)):  # fmt: skip
        yield from ([name] if width == 1 else [f"{name}_{i}" for i in range(width)])


def _features(predicted: Predicted, gaussians: Gaussians, local: Local) -> Tensor:
    """[M, C] in the order of `feature_names`, geometry scaled to about 1."""
    raw = predicted.raw[0]
    columns = (
        predicted.hidden[0],
        local.offsets / 0.05,
        local.quats(gaussians.quats),
        raw[:, 3:7],
        raw[:, 11:14],
        gaussians.opacities[:, None],
        (gaussians.scales / 0.02).log(),
        (gaussians.colors - 0.5) / 0.25,
    )
    return torch.cat(columns, -1)
