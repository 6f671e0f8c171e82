"""IDOL's Gaussians: their sheared covariances as scales and rotations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from benchmarks.gsplat_torch import _torch_impl
from hgg_pyg.backbones import gaussians_from_idol
from hgg_pyg.backbones.idol import spacing
from hgg_pyg.io.splats import read_ply, write_ply
from hgg_pyg.types import Gaussians


def covariance(gaussians: Gaussians) -> Tensor:
    """R S S R^T [M, 3, 3] float64"""
    return _torch_impl._quat_scale_to_covar_preci(gaussians.quats.double(), gaussians.scales.double(), True, False)[0]


def sheared(count: int = 60, seed: int = 0) -> tuple[Tensor, ...]:
    """Positions, colours, radii and matrices that are blends of rotations, as IDOL makes them; float64."""
    generator = np.random.default_rng(seed)
    bones = Rotation.from_rotvec(2 * generator.normal(size=(2 * count, 3))).as_matrix()
    positions, colors = 0.1 * generator.normal(size=(count, 3)), generator.random((count, 3))
    radius, blend = generator.uniform(-1, 1, (count, 3)), 0.6 * bones[:count] + 0.4 * bones[count:]
    return tuple(torch.from_numpy(array) for array in (positions, colors, radius, blend))


@pytest.mark.parametrize(
    "change", [lambda r: r, lambda r: -r, lambda r: torch.diag_embed(r.diagonal(dim1=1, dim2=2)).roll(1, 1)]
)
def test_idol_s_covariance_is_kept_exactly(change: Callable[[Tensor], Tensor]) -> None:
    """Also for mirrored matrices, and for scaled and permuted axes, of which the decomposition may mirror some."""
    positions, colors, radius, rotations = sheared()
    rotations = change(rotations)
    found = gaussians_from_idol(positions, colors, radius, rotations)
    squares = torch.cdist(positions, positions) ** 2
    near = squares.sort(1).values[:, 1:4].mean(1)
    torch.testing.assert_close(spacing(positions), near.sqrt(), rtol=1e-7, atol=0)
    sizes = (radius + 1) * spacing(positions)[:, None]
    expected = rotations @ torch.diag_embed(sizes**2) @ rotations.mT
    torch.testing.assert_close(covariance(found), expected, rtol=0, atol=1e-10 * float(expected.max()) + 1e-16)
    assert (found.quats.norm(dim=1) - 1).abs().max() < 1e-12
    assert (found.opacities == 1).all()
    assert found.means is positions
    assert found.colors is colors


def test_idol_s_matrices_really_are_no_rotations() -> None:
    """Else the test above would pass without the decomposition."""
    *_, rotations = sheared()
    assert (rotations @ rotations.mT - torch.eye(3)).abs().max() > 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_idol_s_points_in_one_place_and_of_no_size_can_be_written(tmp_path, dtype) -> None:
    positions, colors, radius, rotations = (tensor.to(dtype) for tensor in sheared())
    positions[1] = positions[0]
    positions[10:20] = positions[10]
    radius[5], radius[6, 1] = -1, -1
    opacities = torch.linspace(0, 1, 60, dtype=dtype)
    found = gaussians_from_idol(positions, colors, radius, rotations, opacities)
    assert spacing(positions)[12] == pytest.approx(1e-7**0.5)
    assert (found.scales > 0).all()
    assert all(getattr(found, name).dtype == dtype for name in ("quats", "scales", "opacities"))
    write_ply(tmp_path / "a.ply", found)
    read = read_ply(tmp_path / "a.ply")
    torch.testing.assert_close(covariance(read), covariance(found), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(read.opacities, found.opacities.float(), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, c, r, m: (p[:, :2], c, r, m), r"positions: expected \(60, 3\), found \(60, 2\)"),
        (lambda p, c, r, m: (p, c[:9], r, m), r"colors: expected \(60, 3\), found \(9, 3\)"),
        (lambda p, c, r, m: (p, c, r[:, :1], m), r"radius: expected \(60, 3\), found \(60, 1\)"),
        (lambda p, c, r, m: (p, c, r, m[:, 0]), r"rotations: expected \(60, 3, 3\), found \(60, 3\)"),
        (lambda p, c, r, m: (p, c, r, m, p), r"opacities: expected \(60,\), found \(60, 3\)"),
        (lambda *all_of_them: [tensor[:3] for tensor in all_of_them], "positions: expected more than 3, found 3"),
    ],
)
def test_what_idol_does_not_give_is_refused(change: Callable[..., tuple], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussians_from_idol(*change(*sheared()))
