"""One image in, several consistent views out: fronts for per-frame networks of four views."""

from hgg_pyg.multiview.base import Front, FrontConfig, FrontKind, FrontViews
from hgg_pyg.multiview.fronted import FrontedBackbone, behind_front
from hgg_pyg.multiview.registry import fronts, make_front

__all__ = [
    "Front",
    "FrontConfig",
    "FrontKind",
    "FrontViews",
    "FrontedBackbone",
    "behind_front",
    "fronts",
    "make_front",
]
