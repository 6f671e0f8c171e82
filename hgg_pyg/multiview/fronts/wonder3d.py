"""Wonder3D as a front: the public weights, or what `finetune_multiview` made of them or of nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from threading import Lock

import torch
from torch import Tensor

from hgg_pyg.backbones.base import Moment
from hgg_pyg.backbones.lgm.cameras import crop_images
from hgg_pyg.multiview.base import FrontConfig, FrontKind, FrontViews
from hgg_pyg.multiview.cameras import cameras_of, crop_to, place_person
from hgg_pyg.multiview.cutout import check_one_person
from hgg_pyg.multiview.folder import load_model
from hgg_pyg.multiview.model import Picture
from hgg_pyg.multiview.posed_body import draw_body, facing
from hgg_pyg.types import Cameras

_VERSION = 1  # raise it whenever the same input gives another result


class Wonder3D:
    """One picture, cut out around the person and put on white, through the network; three of its views and the picture.

    The picture itself stands for the front view, as in the paper's release. Normals are drawn with the colours where
    the model draws in latents, which has learnt both together, and are not used further.

    Raises:
        UserError: the weights are missing, or of another model.
    """

    def __init__(self, config: FrontConfig, device: torch.device) -> None:
        loaded = load_model(config.checkpoint)
        self.config, self.model = config, loaded.model
        for part in (
            self.model.unet,
            getattr(self.model.codec, "vae", None),
            getattr(self.model.embedder, "encoder", None),
        ):
            if part is not None:
                part.to(device)
        self.one_core = device.type == "cpu"
        steps = config.steps or self.model.views.steps
        text = f"Wonder3D {_VERSION} {loaded.digest} {steps} {config.guidance} {config.facing}"
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._alone = Lock()  # a scheduler keeps its steps to itself

    def unfit(self, moment: Moment) -> str | None:
        """See `Front`: the person must not turn their back on the camera."""
        past = facing(moment.vertices, moment.vertex_transforms, moment.cameras)
        most = self.config.facing
        if past <= most:
            return None
        return f"the front needs a front view, and the person looks past the camera by more than {most:g} degrees"

    def __call__(self, moment: Moment) -> FrontViews:
        """See `Front`."""
        if len(moment.cameras) != 1:
            raise ValueError(f"Wonder3D: expected one view, found {len(moment.cameras)}")
        images, masks = moment.pixels()
        check_one_person(masks[0].numpy(), f"{moment.subject}, frame {moment.frame}")
        config, size = self.model.views, self.model.views.size
        placement = place_person(masks[0], moment.cameras, moment.vertices, config.person)
        front = crop_to(moment.cameras, placement, size)
        shown, covered = crop_images(images, masks, moment.cameras, front)
        cameras = cameras_of(config.projection, moment.cameras, placement, config.azimuths, size, moment.up)
        guides: Tensor | None = None
        if config.guided:
            seen_from = Cameras(
                torch.cat([front.viewmats, cameras.viewmats[1:]]), torch.cat([front.Ks, cameras.Ks[1:]]), size, size
            )
            drawn, _ = draw_body(seen_from, moment.vertices, moment.faces, front, shown[0])
            guides = drawn.permute(0, 3, 1, 2)[None]
        picture = Picture(shown.permute(0, 3, 1, 2), covered[:, None], guides)
        with self._alone:
            drawn = self.model.draw(picture, not config.guided, self.config.steps, self.config.guidance)
        chosen = config.quarters
        rgb, alpha = drawn.rgb[0, chosen].permute(0, 2, 3, 1), drawn.alpha[0, chosen, 0]
        rgb[0], alpha[0] = shown[0], covered[0]
        cameras = cameras[chosen]
        viewmats, Ks = cameras.viewmats.clone(), cameras.Ks.clone()
        viewmats[0], Ks[0] = front.viewmats[0], front.Ks[0]
        return FrontViews(replace(cameras, viewmats=viewmats, Ks=Ks), rgb.contiguous(), alpha.contiguous())


FRONT = FrontKind(
    name="wonder3d",
    summary="Wonder3D's cross-domain diffusion (Long et al. 2024)",
    make=Wonder3D,
    requires={"diffusers": "diffusers"},
)
