"""The cameras as the user gives them: a calibration that there is, or images of a chessboard."""

from __future__ import annotations

import logging
from pathlib import Path

from hgg_pyg.data.calibration import Calibration, read_calibration
from hgg_pyg.io.files import write_text
from hgg_pyg.prepare.calibrations import read_calibrations
from hgg_pyg.prepare.calibrations.board import Board
from hgg_pyg.prepare.calibrations.board_cameras import cameras_from_board, find_board_footage, lenses_from_board
from hgg_pyg.prepare.calibrations.from_person import lenses_only
from hgg_pyg.prepare.config import PrepareConfig
from hgg_pyg.prepare.destination import stamp
from hgg_pyg.prepare.stages import Stage
from hgg_pyg.prepare.writer import calibration_json
from hgg_pyg.types import UserError

_FILE = "calibration.json"

log = logging.getLogger("hgg_pyg")


def find_calibration(config: PrepareConfig, work: Path) -> Calibration:
    """Read the calibration, or find it from a chessboard, unless that is done.

    Args:
        config: the options.
        work: folder of the stages.

    Returns:
        V cameras; with a height, cameras that stand anywhere, see `hgg_pyg.prepare.calibrations.from_person`.

    Raises:
        UserError: as `read_calibrations`, `lenses_from_board` and `cameras_from_board`.
    """
    anywhere = config.height is not None
    if config.board is None or config.board_images is None:
        unit = "m" if anywhere and config.unit is None else config.unit
        return read_calibrations(config.calibration, config.calibration_format, unit)
    stage = Stage.open(work, "board", config.board, stamp(config.board_images), str(anywhere))
    path = stage.folder / _FILE
    if not stage.done:
        board = Board.parse(config.board)
        inner = find_board_footage(config.board_images, "intrinsics")
        outer = find_board_footage(config.board_images, "extrinsics")
        if not inner or not (outer or anywhere):
            missing = "extrinsics/ (or the person's --height)" if inner else "intrinsics/"
            raise UserError(
                f"--board-images {config.board_images}: expected images of the board in {missing}, found none"
            )
        lenses = lenses_from_board(inner, board)
        for name, lens in lenses.items():
            log.info("%s: lens from %d of %d images, %.2f pixels", name, lens.used, lens.images, lens.error)
        cameras = lenses_only(lenses) if anywhere else cameras_from_board(outer, lenses, board)
        write_text(path, calibration_json(cameras))
        stage.finish({})
    return read_calibration(path)
