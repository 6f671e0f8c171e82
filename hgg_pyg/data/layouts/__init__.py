"""The layouts of data sets on disk, one file each, in the order in which a folder is compared with them."""

from hgg_pyg.data.layouts.assemble import make_capture
from hgg_pyg.data.layouts.avatarrex import AVATARREX, THUMAN4
from hgg_pyg.data.layouts.base import Layout, stated_kinds, unreadable
from hgg_pyg.data.layouts.mvhumannet import MVHUMANNET
from hgg_pyg.data.layouts.mvhumannet_pp import MVHUMANNET_PP
from hgg_pyg.data.layouts.neuman import NEUMAN
from hgg_pyg.data.layouts.people_snapshot import PEOPLE_SNAPSHOT
from hgg_pyg.data.layouts.zju_mocap import ZJU_MOCAP

LAYOUTS: tuple[Layout, ...] = (THUMAN4, AVATARREX, MVHUMANNET, MVHUMANNET_PP, ZJU_MOCAP, PEOPLE_SNAPSHOT, NEUMAN)

__all__ = ["LAYOUTS", "Layout", "make_capture", "stated_kinds", "unreadable"]
