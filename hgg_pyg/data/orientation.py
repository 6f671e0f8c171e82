"""Images that are to be turned before they are shown, as the EXIF of phones says, are refused.

Whether a calibration and masks are for the pixels as they are stored, as COLMAP reads them, or as they are shown, as
OpenCV does, is in no file, and where an image is turned by 180 degrees not even its size would tell. Colours that lie
upside down under their mask are worse than a question: the message has the commands for both answers.
"""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image

from hgg_pyg.types import UserError

_TAG = 274
_TURNS = {  # 1 is upright, other numbers mean nothing
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees clockwise",
    7: "mirrored and turned by 90 degrees",
    8: "turned by 90 degrees counter-clockwise",
}


def check_upright(path: Path, image: Image.Image) -> None:
    """Refuse an image that is not shown as it is stored. Of a PNG without EXIF before its pixels, Pillow decodes these.

    Args:
        path: its file, for the message.
        image: opened by Pillow.

    Raises:
        UserError: its orientation is not upright.
        OSError: the pixels of a PNG are damaged.
    """
    if image.format == "PNG" and "exif" not in image.info:
        image.load()  # not below: of damaged pixels Pillow complains the first time only
    try:
        orientation = image.getexif().get(_TAG, 1)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error):
        return  # of what nobody can read no reader takes an orientation
    if orientation in _TURNS:
        raise UserError(
            f"{path}: expected an image that is stored upright, found EXIF orientation {orientation}, to be shown "
            f"{_TURNS[orientation]}; where calibration and masks are for it as it is shown, turn the files for good: "
            "mogrify -auto-orient FILES; where they are for it as it is stored, take the tag away: "
            "exiftool -Orientation= FILES"
        )
