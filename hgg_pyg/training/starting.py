"""What a run's network starts with: weights of another run, and which of them are learnt."""

from __future__ import annotations

from pathlib import Path

from hgg_pyg.model.network import HGGNet
from hgg_pyg.training.run import MODEL_FOLDER
from hgg_pyg.types import UserError


def start_from(network: HGGNet, run: Path) -> None:
    """Take over the weights of another run; what its network lacks stays as it is.

    Raises:
        UserError: as `HGGNet.load`; a weight is of another shape, or there is none of the same name.
    """
    own, found = network.state_dict(), HGGNet.load(run / MODEL_FOLDER).state_dict()
    common = {key: value for key, value in found.items() if key in own}
    if not common:
        raise UserError(f"--start {run}: expected weights of the same network, found none of the same name")
    for key, value in common.items():
        if value.shape != own[key].shape:
            expected = f"expected {list(own[key].shape)}, as this run's options say, found {list(value.shape)}"
            raise UserError(f"--start {run}: {key}: {expected}")
    network.load_state_dict({**own, **common})


def freeze_all_but_poses(network: HGGNet) -> None:
    """Leave only the weights that correct poses to be learnt.

    Raises:
        UserError: there are none.
    """
    if network.mender is None:
        raise UserError("loss.rendering: expected more than 0 of a network that corrects no poses (model.mend 0)")
    network.requires_grad_(False)
    network.mender.requires_grad_(True)
