"""Writers of the layouts of real data sets, one per file, all on the same synthetic footage."""

from __future__ import annotations

from hgg_pyg.synthetic.config import LayoutName
from hgg_pyg.synthetic.layouts.avatarrex import AvatarRex, AvatarRexSmplx, THuman4
from hgg_pyg.synthetic.layouts.base import LayoutWriter
from hgg_pyg.synthetic.layouts.mvhumannet import RIG_16, RIG_48, MVHumanNet
from hgg_pyg.synthetic.layouts.mvhumannet_pp import MVHumanNetPP
from hgg_pyg.synthetic.layouts.neuman import NeuMan
from hgg_pyg.synthetic.layouts.people_snapshot import PeopleSnapshot
from hgg_pyg.synthetic.layouts.zju_mocap import ZjuMocap, ZjuMocap313

WRITERS: dict[LayoutName, LayoutWriter] = {
    "avatarrex": AvatarRex(),
    "avatarrex_smplx": AvatarRexSmplx(),
    "thuman4": THuman4(),
    "mvhumannet_48": MVHumanNet(RIG_48),
    "mvhumannet_16": MVHumanNet(RIG_16),
    "mvhumannet_pp": MVHumanNetPP(),
    "zju_mocap": ZjuMocap(),
    "zju_mocap_313": ZjuMocap313(),
    "people_snapshot": PeopleSnapshot(),
    "neuman": NeuMan(),
}

__all__ = ["WRITERS", "LayoutWriter"]
