"""Pictures as CLIP was shown them in its training: one size, the middle, and colours about zero."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.config import Bounds, Pixels, Share, check_choices
from hgg_pyg.io.shown import shown

Spread = Annotated[float, Bounds(0, 1, above=True)]

# What a preprocessor_config.json may say besides: all steps are taken, and resized by PIL's number for bicubic.
_SAID = dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"), True)
_BICUBIC = 3
_NO_MATTER = {"feature_extractor_type", "image_processor_type", "processor_class"}
_OWN = {"size", "crop_size", "image_mean", "image_std", "resample", "rescale_factor"}


@dataclass(frozen=True)
class ClipPreprocessing:
    """Resize the shorter edge, cut out the middle, (x - mean) / std. The defaults are CLIP's (Radford et al. 2021)."""

    size: Pixels = 224
    """of the shorter edge"""
    crop: Pixels = 224
    """of the square that is cut out of the middle, at most as large"""
    mean: tuple[Share, Share, Share] = (0.48145466, 0.4578275, 0.40821073)
    """of colours in [0, 1]"""
    std: tuple[Spread, Spread, Spread] = (0.26862954, 0.26130258, 0.27577711)
    """of colours in [0, 1]"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.crop > self.size:
            raise ValueError(f"crop_size: expected at most size {self.size}, found {self.crop}")

    def __call__(self, rgb: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> [B, 3, crop, crop]

        The shorter edge becomes `size` pixels, the longer one floor(size longer / shorter), by the bicubic kernel
        (a = -1/2) stretched over what a pixel shrinks to: along rows, then along columns, with what overshoots clamped
        after each, as PIL has it, but without its rounding to 8 bits. The crop begins at floor((edge - crop) / 2). A
        config's rescale_factor of 1/255 is what brings bytes to [0, 1], where these pictures are.
        """
        height, width = rgb.shape[-2:]
        short = min(height, width)
        rows, columns = (self.size if side == short else self.size * side // short for side in (height, width))
        for shape in ((height, columns), (rows, columns)):
            if shape != rgb.shape[-2:]:
                rgb = F.interpolate(rgb, shape, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        top, left = (rows - self.crop) // 2, (columns - self.crop) // 2
        rgb = rgb[..., top : top + self.crop, left : left + self.crop]
        mean, std = (rgb.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (rgb - mean) / std

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> ClipPreprocessing:
        """Out of a preprocessor_config.json.

        Raises:
            ValueError: an option is missing, unknown, out of bounds, or asks for another operation.
        """
        for name in said.keys() - _OWN - _SAID.keys() - _NO_MATTER:
            if not name.startswith("_"):
                raise ValueError(f"expected options of CLIP's preprocessing, found {shown(name)!r}")
        for name, expected in {**_SAID, "resample": _BICUBIC}.items():
            if said.get(name, expected) != expected:
                raise ValueError(f"{name}: expected {expected}, found {shown(said[name])}")
        factor = said.get("rescale_factor", 1 / 255)
        if not isinstance(factor, float) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
            raise ValueError(f"rescale_factor: expected 1/255, found {shown(factor)}")
        for name in ("size", "crop_size", "image_mean", "image_std"):
            if name not in said:
                raise ValueError(f"{name}: expected {'pixels' if 'size' in name else 'three numbers'}, found none")
        size = _edge("size", said["size"], ("shortest_edge",))
        crop = _edge("crop_size", said["crop_size"], ("height", "width"))
        mean, std = (
            tuple(values) if isinstance(values := said[name], list) else values for name in ("image_mean", "image_std")
        )
        return cls(size, crop, mean, std)

    def to_json_string(self) -> str:
        """A preprocessor_config.json that `read` takes, and transformers as well."""
        return json.dumps(
            {
                "image_processor_type": "CLIPImageProcessor",
                **_SAID,
                "size": {"shortest_edge": self.size},
                "resample": _BICUBIC,
                "crop_size": {"height": self.crop, "width": self.crop},
                "rescale_factor": 1 / 255,
                "image_mean": self.mean,
                "image_std": self.std,
            },
            indent=2,
        )


def _edge(name: str, said: Any, parts: tuple[str, ...]) -> Any:
    """A number of pixels, said as such or by the names of edges that all have it."""
    if not isinstance(said, Mapping):
        return said
    if set(said) != set(parts) or len(set(map(repr, said.values()))) > 1:
        raise ValueError(
            f"{name}: expected pixels, or one number of them as {' and '.join(parts)}, found {shown(said)}"
        )
    return said[parts[0]]
