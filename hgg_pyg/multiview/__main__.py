"""`python -m hgg_pyg.multiview PICTURE`: one picture of a person in, pictures of them from all around out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from accelerate import PartialState
from PIL import Image

from hgg_pyg.avatar.brought import missing_packages
from hgg_pyg.backbones.lgm.cameras import crop_images
from hgg_pyg.config import Bounds, Repeats, Seed, check_choices
from hgg_pyg.data.images import header_size, read_pixels
from hgg_pyg.io.files import try_folder, write_atomically
from hgg_pyg.multiview.cameras import crop_to, place_person
from hgg_pyg.multiview.cutout import check_one_person
from hgg_pyg.multiview.folder import load_model
from hgg_pyg.multiview.model import Picture
from hgg_pyg.multiview.views import NAMES
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks.base import Sighting
from hgg_pyg.prepare.landmarks.registry import find_landmarker
from hgg_pyg.runtime import run_command
from hgg_pyg.types import Cameras, UserError

_PREPARE = {"ai_edge_litert": "ai-edge-litert", "cv2": "opencv-python-headless"}
_SURE = 0.5  # confidence of a landmark that may say that the picture shows a back

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class PictureConfig:
    """Which picture, by which weights."""

    picture: Annotated[Path, tyro.conf.Positional]
    """one person, upright, seen from the front; its alpha channel, if it has one, is the person"""
    checkpoint: Path | None = None
    """folder of weights: the public wonder3d-v1.0, or one that finetune_multiview wrote"""
    mask: Path | None = None
    """picture of the person's mask, of the same size, where the picture has no alpha channel; by default one is made
    by the landmark network of the extra prepare"""
    out: Path = Path("views")
    """folder for a picture of each view"""
    steps: Repeats | None = None
    """steps of DDIM; by default the checkpoint's, of the public weights 20"""
    guidance: Annotated[float, Bounds(0, 100)] = 1.0
    """weight of the input picture, 1 for none beyond what it says; another doubles the time"""
    seed: Seed = 0
    """of the noise"""

    def __post_init__(self) -> None:
        check_choices(self)


def main(config: PictureConfig) -> None:
    """Draw the person of a picture from all around."""
    rgb, mask = read_person(config.picture, config.mask)
    model = load_model(config.checkpoint).model
    try_folder(config.out, "--out")
    device = PartialState().device or torch.device("cpu")
    for part in (model.unet, getattr(model.codec, "vae", None), getattr(model.embedder, "encoder", None)):
        if part is not None:
            part.to(device)
    latent = not model.views.guided
    drawn = model.draw(
        place_picture(rgb, mask, model.views.person, model.views.size),
        latent,
        config.steps,
        config.guidance,
        config.seed,
    )
    config.out.mkdir(parents=True, exist_ok=True)
    for view, azimuth in enumerate(model.views.azimuths):
        name = NAMES.get(azimuth, f"{azimuth:g}").replace(" ", "_")
        _save(config.out / f"{name}.png", torch.cat([drawn.rgb[0, view], drawn.alpha[0, view]]))
        if drawn.normals is not None:
            _save(config.out / f"{name}_normals.png", drawn.normals[0, view])
    log.info("%s: %d views", config.out, len(model.views.azimuths))


def read_person(picture: Path, mask: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture's colours and who is in it.

    Returns:
        [H, W, 3] in [0, 1], and [H, W]: the share of each pixel that the person covers.

    Raises:
        UserError: a file is broken, there is no mask and nothing to make one with, or it does not show one person from
            the front; the last is known where landmarks are found, with a mask that was made here.
    """
    size = header_size(picture)
    rgb = read_pixels(picture, "RGB", size, size)
    if mask is not None:
        alpha = read_pixels(mask, "L", size, size)
    elif _has_alpha(picture):
        alpha = read_pixels(picture, "L", size, size)
    else:
        alpha = _find_mask(picture, rgb)
    check_one_person(alpha, str(mask or picture))
    return torch.from_numpy(rgb), torch.from_numpy(alpha)


def place_picture(rgb: torch.Tensor, mask: torch.Tensor, person: float, size: int) -> Picture:
    """A person cut out, put on white and placed as a model wants it; there is no pose to be guided by.

    Args:
        rgb: [H, W, 3]
        mask: [H, W] of one person.
        person: share of the result that the longer side of the mask's box takes.
        size: of the result, pixels.
    """
    height, width = mask.shape
    camera = Cameras(torch.eye(4)[None], torch.diag(torch.tensor([1000.0, 1000.0, 1.0]))[None], width, height)
    placement = place_person(mask, camera, torch.tensor([[0.0, 0.0, 1.0]]), person)
    shown, alpha = crop_images(rgb[None], mask[None], camera, crop_to(camera, placement, size))
    return Picture(shown.permute(0, 3, 1, 2), alpha[:, None])


def _has_alpha(path: Path) -> bool:
    """Whether a picture says who is in it: one that is opaque everywhere does not."""
    with Image.open(path) as image:
        return image.mode in ("RGBA", "LA") and int(np.asarray(image.getchannel("A")).min()) < 255


def _find_mask(path: Path, rgb: np.ndarray) -> np.ndarray:
    """The person's mask by the landmark network of the extra prepare. [H, W]"""
    if missing_packages(_PREPARE):
        ways = 'a picture with an alpha channel, --mask FILE, or what makes one: pip install "hgg_pyg[prepare]"'
        raise UserError(f"{path}: expected {ways}; found a picture without a mask")
    network = find_landmarker()
    people = network.find((rgb * 255).round().astype(np.uint8), 2)
    if not people:
        raise UserError(f"{path}: expected a picture of one person, found nobody")
    if len(people) > 1:
        raise UserError(f"{path}: expected a picture of one person, found {len(people)}: cut out one, or give --mask")
    (person,) = people
    if shows_back(person, network.landmarks):
        raise UserError(f"{path}: expected a front view, found a back: the left shoulder and hip are on the left")
    if person.mask is None:
        raise UserError(f"{path}: expected --mask FILE: the landmark network makes no masks")
    return person.mask.astype(np.float32) / 255


def shows_back(person: Sighting, landmarks: LandmarkSet) -> bool:
    """Whether both the left shoulder and the left hip are surely seen to the left of the right ones."""
    pairs = [
        tuple(person.points[landmarks.index(f"{side}_{joint}")] for side in ("left", "right"))
        for joint in ("shoulder", "hip")
    ]
    return all(min(left[2], right[2]) > _SURE and left[0] < right[0] for left, right in pairs)


def _save(path: Path, image: torch.Tensor) -> None:
    pixels = (image.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()
    write_atomically(path, lambda temporary: Image.fromarray(pixels).save(temporary, "PNG"))


if __name__ == "__main__":
    run_command(PictureConfig, main)
