"""A package that is missing is named with the extra that brings it."""

import sys

import pytest

from hgg_pyg.io.extras import import_extra
from hgg_pyg.prepare.extra import opencv
from hgg_pyg.types import UserError


def test_one_that_is_there_is_given() -> None:
    assert import_extra("math", "prepare", "a test") is __import__("math")


@pytest.mark.parametrize(
    ("module", "bring", "message"),
    [
        ("cv2", lambda: opencv("masks"), r'masks: expected OpenCV, found none: pip install "hgg_pyg\[prepare\]"'),
        ("h5py", lambda: import_extra("h5py", "snapshot", "a.h5"), r'a.h5: expected h5py, .*"hgg_pyg\[snapshot\]"'),
    ],
)
def test_one_that_is_missing_is_named_with_its_extra(module, bring, message, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=message):
        bring()
