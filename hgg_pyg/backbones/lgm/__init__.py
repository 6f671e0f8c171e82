"""LGM, a per-frame network: four views to Gaussians (Tang et al. 2024), written anew for the public checkpoint."""

from hgg_pyg.backbones.lgm.backbone import LGMBackbone, LGMConfig
from hgg_pyg.backbones.lgm.network import LGM, PRESETS, Preset
from hgg_pyg.backbones.lgm.unet import UNetConfig

__all__ = ["LGM", "PRESETS", "LGMBackbone", "LGMConfig", "Preset", "UNetConfig"]
