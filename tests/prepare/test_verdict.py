"""What `check` finds decides whether there is a capture."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from hgg_pyg.capture_check import Examination, Finding
from hgg_pyg.prepare import verdict
from hgg_pyg.types import UserError


def judged(monkeypatch, *findings: Finding) -> None:
    examination = Examination("me", "AvatarReX", findings)
    monkeypatch.setattr(verdict, "examine", lambda *_: examination)
    monkeypatch.setattr(verdict, "describe", lambda *_: "")
    verdict.judge(SimpleNamespace(folder=Path("me"), body=SimpleNamespace(name="a body")))  # pyright: ignore


@pytest.mark.parametrize("topic", ["whole masks", "nobody in the masks", "the body does not lie on the person"])
def test_what_cannot_be_used_is_refused(monkeypatch, topic):
    with pytest.raises(UserError, match=r"masks are white; what was made is in me, see report\.html there"):
        judged(monkeypatch, Finding(topic, "masks are white", True))


def test_three_cameras_and_loose_clothes_are_not(monkeypatch):
    judged(monkeypatch, Finding("few cameras", "three", False), Finding("overlap", "loose clothes", False))
