"""Gaussians in one pose in other people's formats, read back by other people's readers or by the format's text."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hgg_pyg.avatar.exporters import StillExporter, find_exporter
from hgg_pyg.avatar.exporters.spz import place_bits
from hgg_pyg.body import BodyModel
from hgg_pyg.io.splats import read_ply
from hgg_pyg.types import Gaussians, UserError
from tests.avatar.avatars import small_avatar

Y0 = 0.28209479177387814
ABOUT = {"licence": "for research, \N{COPYRIGHT SIGN} somebody\nelse", "made by": "us"}


@pytest.fixture(scope="module")
def gaussians(body: BodyModel) -> Gaussians:
    return small_avatar(body).gaussians


def still(name: str) -> StillExporter:
    exporter = find_exporter(name)
    assert isinstance(exporter, StillExporter)
    return exporter


def by_gsply(path: Path) -> Gaussians:
    gsply = pytest.importorskip("gsply")
    read = gsply.read_spz(path) if path.suffix == ".spz" else gsply.plyread(path)
    arrays = (read.means, read.quats, read.scales, read.opacities, read.sh0)
    means, quats, scales, opacities, colors = (torch.from_numpy(np.array(array)) for array in arrays)
    return Gaussians(means, quats, scales.exp(), opacities.sigmoid().flatten(), 0.5 + Y0 * colors)


def by_usd(path: Path) -> Gaussians:
    stage = pytest.importorskip("pxr.Usd").Stage.Open(str(path))  # what is in it lives as long
    splats = stage.GetDefaultPrim()
    assert splats.GetTypeName() == "ParticleField3DGaussianSplat"
    assert splats.GetAttribute("radiance:sphericalHarmonicsDegree").Get() == 0

    def values(name: str) -> Tensor:
        return torch.from_numpy(np.array(splats.GetAttribute(name).Get()))

    quats = [[quat.GetReal(), *quat.GetImaginary()] for quat in splats.GetAttribute("orientations").Get()]
    colors = 0.5 + Y0 * values("radiance:sphericalHarmonicsCoefficients")
    return Gaussians(values("positions"), torch.tensor(quats), values("scales"), values("opacities"), colors)


def by_the_splat_format(path: Path) -> Gaussians:
    """32 bytes each: places and scales as floats, colour, opacity and rotation as bytes."""
    rows = [
        struct.unpack("<6f8B", path.read_bytes()[start : start + 32]) for start in range(0, path.stat().st_size, 32)
    ]
    table = torch.tensor(rows)
    quats, colors = (table[:, 10:] - 128) / 128, table[:, 6:9] / 255
    return Gaussians(table[:, :3], quats, table[:, 3:6], table[:, 9] / 255, colors)


READERS: dict[str, tuple[str, Callable[[Path], Gaussians], dict[str, float]]] = {
    "ply, ours": ("ply", read_ply, {}),
    "ply, gsply's": ("ply", by_gsply, {}),
    "usd": ("usd", by_usd, {}),
    "splat": ("splat", by_the_splat_format, {"quats": 0.02, "opacities": 0.002, "colors": 0.002}),
    "spz": ("spz", by_gsply, {"means": 8e-6, "quats": 0.004, "scales": 1e-3, "opacities": 0.002, "colors": 0.004}),
}


@pytest.mark.parametrize("case", READERS)
def test_others_read_what_we_write(gaussians: Gaussians, tmp_path: Path, case: str) -> None:
    name, read, rounding = READERS[case]
    exporter = still(name)
    path = tmp_path / f"a{exporter.suffix}"
    exporter.write(path, gaussians, ABOUT)
    found = read(path)
    own, turned = normalize(gaussians.quats, dim=1), normalize(found.quats, dim=1)
    turned = turned * (own * turned).sum(1, keepdim=True).sign()
    assert (own - turned).abs().max() <= rounding.get("quats", 1e-5)
    for field in ("means", "scales", "opacities", "colors"):
        apart = (getattr(found, field) - getattr(gaussians, field)).abs().max()
        assert apart <= rounding.get(field, 2e-6), field
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_licences_go_with_the_formats_that_have_room(gaussians: Gaussians, tmp_path: Path) -> None:
    still("ply").write(tmp_path / "a.ply", gaussians, ABOUT)
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header")[0].decode("ascii")
    assert "comment licence: for research, \\xa9 somebody else\n" in header
    usd = pytest.importorskip("pxr.Usd")
    still("usd").write(tmp_path / "a.usd", gaussians, ABOUT)
    stage = usd.Stage.Open(str(tmp_path / "a.usd"))
    assert stage.GetRootLayer().customLayerData == {"generator": "hgg_pyg", **ABOUT}


def test_usd_says_up_and_metres(gaussians: Gaussians, tmp_path: Path) -> None:
    usd, geom = pytest.importorskip("pxr.Usd"), pytest.importorskip("pxr.UsdGeom")
    still("usd").write(tmp_path / "a.usd", gaussians, {})
    stage = usd.Stage.Open(str(tmp_path / "a.usd"))
    assert geom.GetStageUpAxis(stage) == "Y"
    assert geom.GetStageMetersPerUnit(stage) == 1
    least, most = np.array(stage.GetDefaultPrim().GetAttribute("extent").Get())
    means = gaussians.means.numpy()
    assert (least < means.min(0)).all()
    assert (most > means.max(0)).all()


@pytest.mark.parametrize("farthest", [0.0, 1.0, 3.999, 4.0, 1000.0, 2e6])
def test_places_fit_into_spz(farthest: float) -> None:
    bits = place_bits(farthest)
    assert bits >= 1
    assert farthest * 2**bits < 2**23


def test_what_fits_into_no_spz_is_one_line() -> None:
    with pytest.raises(UserError, match="expected Gaussians within 2,000 km, found one 5e\\+06 metres away"):
        place_bits(5e6)
