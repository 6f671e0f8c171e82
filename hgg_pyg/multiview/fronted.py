"""A per-frame network behind a front: it takes one camera, and gives what it gives of the four views drawn of it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from hgg_pyg.backbones.base import Backbone, Moment
from hgg_pyg.io.tensors import load_tensors, save_tensors
from hgg_pyg.multiview.base import Front, FrontConfig, FrontViews
from hgg_pyg.multiview.registry import make_front
from hgg_pyg.types import Cameras, Gaussians, UserError

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class ViewsCache:
    """Drawn views on disk, each file named by all that its views depend on: the front, the pixels, camera and body."""

    folder: Path
    front: Front

    def draw(self, moment: Moment) -> FrontViews:
        """The views of a moment, from the disk where they are there. Colours and masks are rounded to 8 bits.

        Raises:
            UserError: as the front, or the cache cannot be written.
        """
        images, masks = moment.pixels()
        path = self.path(moment, images, masks)
        if path.is_file():
            try:
                return _from_tensors(load_tensors(path).tensors)
            except (UserError, KeyError, ValueError) as error:
                log.warning("%s: damaged; its views are drawn anew (%s)", path, error)
        drawn = self.front(replace(moment, read=lambda: (images, masks)))
        save_tensors(path, _as_tensors(drawn), {"front": self.front.digest})
        return _from_tensors(_as_tensors(drawn))

    def path(self, moment: Moment, images: Tensor, masks: Tensor) -> Path:
        """Where a moment's views are kept."""
        hashes = hashlib.sha256(self.front.digest.encode())
        up = () if moment.up is None else (moment.up,)
        parts = (images, masks, moment.cameras.viewmats, moment.cameras.Ks, moment.vertices, *up)
        for part in parts:
            hashes.update(part.contiguous().cpu().numpy().tobytes())
        return self.folder / f"{moment.subject}-{moment.frame:08d}-{hashes.hexdigest()[:16]}.safetensors"


class FrontedBackbone:
    """A per-frame network of four views that is shown one camera and three views that a front draws of it.

    Args:
        backbone: that takes four views, or any number.
        front: what draws them.
        cache: folder where they are kept.

    Raises:
        UserError: the network takes another number of views.
    """

    views: int | None = 1

    def __init__(self, backbone: Backbone, front: Front, cache: Path) -> None:
        if backbone.views not in (None, 4):
            raise UserError(f"--front: expected a per-frame network of four views, found one of {backbone.views}")
        self.backbone, self.front = backbone, front
        self.drawn = ViewsCache(cache / f"views-{front.digest}", front)

    @property
    def one_core(self) -> bool:
        """See `Backbone`."""
        return self.backbone.one_core and self.front.one_core

    @property
    def feature_names(self) -> tuple[str, ...]:
        """See `Backbone`."""
        return self.backbone.feature_names

    @property
    def feature_dim(self) -> int:
        """See `Backbone`."""
        return self.backbone.feature_dim

    @property
    def digest(self) -> str:
        """See `Backbone`."""
        return self._with_front(self.backbone.digest)

    @property
    def contents(self) -> str:
        """See `Backbone`."""
        return self._with_front(self.backbone.contents)

    def _with_front(self, text: str) -> str:
        return hashlib.sha256(f"{text} behind {self.front.digest}".encode()).hexdigest()[:16]

    def lacking(self, subject: str, frame: int) -> str | None:
        """See `Backbone`."""
        return self.backbone.lacking(subject, frame)

    def unfit(self, moment: Moment) -> str | None:
        """Why the front cannot draw views of a moment, by its pose; None if it can."""
        return self.front.unfit(moment)

    def __call__(self, moment: Moment) -> Gaussians:
        """See `Backbone`."""
        return self.backbone(self.seen(moment))

    def seen(self, moment: Moment) -> Moment:
        """A moment of one camera as the per-frame network is shown it, in four views."""
        drawn = self.drawn.draw(moment)
        return replace(moment, cameras=drawn.cameras, read=lambda: (drawn.images, drawn.masks))


def behind_front(backbone: Backbone, config: FrontConfig, cache: Path, device: torch.device | str = "cpu") -> Backbone:
    """A per-frame network behind the front that a configuration names; the network itself where it names none.

    Raises:
        UserError: there is no such front, its weights are missing, or the network does not take four views.
    """
    front = make_front(config, device)
    return backbone if front is None else FrontedBackbone(backbone, front, cache)


def _as_tensors(drawn: FrontViews) -> dict[str, Tensor]:
    rgb, masks = ((part.clamp(0, 1) * 255).round().byte() for part in (drawn.images, drawn.masks))
    return {"images": rgb, "masks": masks, "viewmats": drawn.cameras.viewmats, "Ks": drawn.cameras.Ks}


def _from_tensors(tensors: Mapping[str, Tensor]) -> FrontViews:
    images, masks = tensors["images"].float() / 255, tensors["masks"].float() / 255
    height, width = masks.shape[1:]
    return FrontViews(Cameras(tensors["viewmats"], tensors["Ks"], width, height), images, masks)
