"""OpenUSD's ParticleField3DGaussianSplat, by usd-core. Static: its particle fields know no skeleton."""

# pyright: reportAttributeAccessIssue=false
# (usd-core says nothing of what its modules hold)

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch.nn.functional import normalize

from hgg_pyg.avatar.exporters.registry import StillExporter
from hgg_pyg.io.files import write_atomically
from hgg_pyg.types import Gaussians

_Y0 = 0.28209479177387814  # the constant harmonic, 1 / (2 sqrt(pi))


def write(path: Path, gaussians: Gaussians, about: Mapping[str, str]) -> None:
    """Gaussians [M] as the stage's one prim, /avatar, and what is known of them as the layer's data."""
    write_atomically(path, lambda temporary: _write(temporary, gaussians, about))


def _write(path: Path, gaussians: Gaussians, about: Mapping[str, str]) -> None:
    from pxr import Gf, Tf, Usd, UsdGeom, UsdVol, Vt

    means, quats, scales, opacities, colors = (
        np.ascontiguousarray(x.float().cpu().numpy())
        for x in (
            gaussians.means,
            normalize(gaussians.quats.double(), dim=1, eps=0),
            gaussians.scales,
            gaussians.opacities,
            gaussians.colors,
        )
    )
    reach = 3 * scales.max(1, keepdims=True)  # of what is drawn of a Gaussian
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, UsdGeom.LinearUnits.meters)
    splats = UsdVol.ParticleField3DGaussianSplat.Define(stage, "/avatar")
    splats.CreatePositionsAttr(Vt.Vec3fArray.FromNumpy(means))
    splats.CreateOrientationsAttr(Vt.QuatfArray([Gf.Quatf(*quat) for quat in quats.tolist()]))
    splats.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(scales))
    splats.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(opacities))
    splats.CreateRadianceSphericalHarmonicsDegreeAttr(0)
    splats.CreateRadianceSphericalHarmonicsCoefficientsAttr(Vt.Vec3fArray.FromNumpy((colors - 0.5) / np.float32(_Y0)))
    splats.CreateSortingModeHintAttr("zDepth")
    splats.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([(means - reach).min(0), (means + reach).max(0)])))
    stage.SetDefaultPrim(splats.GetPrim())
    layer = stage.GetRootLayer()
    layer.customLayerData = {"generator": "hgg_pyg", **{_plain(name): _plain(text) for name, text in about.items()}}
    try:
        if not layer.Export(str(path)):
            raise OSError("OpenUSD could not write it")
    except Tf.ErrorException as error:  # which says in lines of its own where in its code that was
        said = re.search(r"Error occurred \w+ file: ([^'\n]*)", str(error))
        raise OSError(said[1] if said else "OpenUSD could not write it") from None


def _plain(text: str) -> str:
    r"""With bytes of files' names that are no letters as Python writes them: \udce9."""
    return text.encode("utf-8", "backslashreplace").decode()


EXPORTER = StillExporter(
    name="usd",
    summary="OpenUSD, one pose: its particle fields know no skeleton",
    suffix=".usd",
    write=write,
    sequences=False,
    requires={"pxr": "usd-core"},
)
