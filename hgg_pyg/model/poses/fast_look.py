"""Points drawn, compared with images and differentiated by numba kernels; `pulls.compare_by_autograd` is the reference.

`render` and autograd go over images of seven channels again and again: this takes less than half of the time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hgg_pyg.kernels.numba_tools import numba_threads
from hgg_pyg.model.poses.look_kernels import Squares, look_at_tiles
from hgg_pyg.model.poses.look_sums import sum_looks
from hgg_pyg.model.poses.pose_images import PoseImages
from hgg_pyg.render.binning import Splats, bin_splats
from hgg_pyg.render.cpu import depth_bits, limits_of
from hgg_pyg.render.fast_projection import optics_of
from hgg_pyg.render.projection_kernels import Solids, Views, project_gaussians
from hgg_pyg.render.scene import make_scene
from hgg_pyg.types import Gaussians


def can_compare(means: Tensor) -> bool:
    """Whether the kernels take these: float32 on a CPU, outside of what torch compiles."""
    return means.device.type == "cpu" and means.dtype == torch.float32 and not torch.compiler.is_compiling()


@torch.no_grad()
def compare(points: Gaussians, images: PoseImages, zoom: Tensor) -> tuple[Tensor, Tensor]:
    """As `pulls.compare_by_autograd`; opacities have to be below `render.projection.ALPHA_MAX`."""
    scene = make_scene(points, images.cameras)
    solids = Solids(*map(_array, (scene.means, scene.quats, scene.scales, scene.opacities)))
    dtype = solids.means.dtype
    views = Views(_array(scene.viewmats), _array(scene.Ks), np.array((scene.width, scene.height), dtype))
    optics, limits = optics_of(dtype, scene.eps2d), limits_of(dtype)
    seen = (images.rgb, images.alpha[..., 0], images.detail, zoom)
    squares = Squares(*(_array(each.to(scene.means.dtype).flatten(0, 1)) for each in seen))
    with numba_threads():
        means2d, conics, depths, radii = project_gaussians(solids, views, optics)
        # [S, V, ...] to [S * V, ...]; opacities and colours are the same in all views of a scene
        flat = [each.reshape(-1, *each.shape[2:]) for each in (means2d, conics, depths, radii)]
        splats = Splats(*flat, opacities=solids.opacities, colors=_array(scene.colors[:, 0]))
        bins = bin_splats(splats, depth_bits(splats.depths), scene.width, scene.height, False, limits.alpha_min)
        found = look_at_tiles(bins, limits, squares)
        of_means, of_channels = sum_looks(bins, found, solids, conics, views, optics)
    return torch.from_numpy(of_means), torch.from_numpy(of_channels)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().numpy()
