"""The last stage: the capture as training would see it, looked at by `check`."""

from __future__ import annotations

from hgg_pyg.capture_check import describe, examine, save_sheet
from hgg_pyg.data.capture_set import SubjectFolder
from hgg_pyg.data.layouts.avatarrex import AVATARREX
from hgg_pyg.prepare.prepared import Prepared
from hgg_pyg.types import UserError

SHEET = "check.png"
_FRAMES, _CAMERAS, _SHEET_SIZE = 6, 48, 512


def judge(prepared: Prepared) -> None:
    """Print what `check` prints, and leave its image, the body over frames, in the capture's folder.

    Raises:
        UserError: the body does not lie on the person, or the masks show nobody; a known mistake, if one explains it.
    """
    found = examine(SubjectFolder(prepared.folder, AVATARREX), prepared.body, _FRAMES, _CAMERAS)
    print(describe(found, prepared.body.name))
    if found.capture is not None:
        save_sheet(prepared.folder / SHEET, [found], _SHEET_SIZE)
    faults = [item.text for item in found.findings if item.serious]
    if faults:
        raise UserError(f"{faults[0]}; what was made is in {prepared.folder}, see report.html there")
