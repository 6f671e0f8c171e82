"""All metrics of rendered images against the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hgg_pyg.evaluation.lpips import LPIPS
from hgg_pyg.evaluation.metrics import image_scores, region_scores
from hgg_pyg.evaluation.scores import Values


@dataclass(frozen=True)
class Scorer:
    """Scores the images of several methods on one device."""

    lpips: tuple[LPIPS, ...]  # on that device
    regions: bool  # the mask's and the box's PSNR and SSIM too

    def __call__(self, rendered: Sequence[Tensor | None], truth: Tensor, alpha: Tensor) -> list[list[Values] | None]:
        """The metrics of V images by method, None for a method without images.

        Args:
            rendered: by method, [V, H, W, 3] in [0, 1].
            truth: [V, H, W, 3]
            alpha: [V, H, W, 1]
        """
        perceived = self._perceived(rendered, truth)
        return [
            None if images is None else self._scores(images, truth, alpha, columns)
            for images, columns in zip(rendered, perceived, strict=True)
        ]

    def _perceived(self, rendered: Sequence[Tensor | None], truth: Tensor) -> list[dict[str, Tensor]]:
        """LPIPS of V images by method and network; of one image at a time, whose features take much memory."""
        found = [{network_column(network): truth.new_zeros(len(truth)) for network in self.lpips} for _ in rendered]
        for network in self.lpips:
            for i in range(len(truth)):
                seen = network.features(truth[i : i + 1])
                for images, columns in zip(rendered, found, strict=True):
                    if images is not None:
                        features = network.features(images[i : i + 1])
                        columns[network_column(network)][i] = network.distance(features, seen)[0]
        return found

    def _scores(self, rendered: Tensor, truth: Tensor, alpha: Tensor, perceived: dict[str, Tensor]) -> list[Values]:
        """The metrics of V images, LPIPS by column among them."""
        columns = dict(perceived)
        if self.regions:
            found = region_scores(rendered, truth, alpha)
            columns |= {"psnr": found.image.psnr, "ssim": found.image.ssim}
            columns |= {"psnr_mask": found.mask.psnr, "ssim_mask": found.mask.ssim}
            columns |= {"psnr_box": found.box.psnr, "ssim_box": found.box.ssim}
        else:
            whole = image_scores(rendered, truth)
            columns |= {"psnr": whole.psnr, "ssim": whole.ssim}
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [
            Values(**{name: value for name, value in zip(columns, row, strict=True) if not math.isnan(value)})
            for row in rows
        ]


def network_column(network: LPIPS) -> str:
    """The metric that a network computes."""
    return f"lpips_{network.network}"
