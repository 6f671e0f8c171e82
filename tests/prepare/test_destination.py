"""The capture's folder: where it cannot be made is said before any work, and where it may be made changes nothing."""

import pytest

from hgg_pyg.prepare.destination import is_there, stamp
from hgg_pyg.types import UserError


def test_what_the_command_makes_among_the_footage_is_no_footage(tmp_path):
    (tmp_path / "cam00.mp4").write_bytes(b"video")
    (tmp_path / "broken.mp4").symlink_to("nowhere")
    out = tmp_path / "me"
    before = stamp(tmp_path, out)
    for folder in (out, tmp_path / ".me.prepare"):
        folder.mkdir()
        (folder / "file").touch()
    assert stamp(tmp_path, out) == before
    (tmp_path / "cam01.mp4").touch()
    assert stamp(tmp_path, out) != before


@pytest.mark.parametrize("there", [True, False])
def test_a_link_cannot_become_the_folder(tmp_path, there):
    if there:
        (tmp_path / "elsewhere").mkdir()
    (tmp_path / "me").symlink_to("elsewhere")
    with pytest.raises(UserError, match="me: expected the name of a new folder, found a link; give a name within it"):
        is_there(tmp_path / "me", None, ())


def test_where_a_disk_is_mounted_is_no_new_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("hgg_pyg.prepare.destination.os.path.ismount", lambda path: path == tmp_path)
    with pytest.raises(UserError, match="found another disk's; give a name within it"):
        is_there(tmp_path, None, ())


def test_options_that_are_none_are_one_line(tmp_path):
    (tmp_path / "prepare.json").write_text('{"settings": 3}')
    with pytest.raises(UserError, match=r"prepare.json: expected options by name under the key 'settings', found 3"):
        is_there(tmp_path, None, ())
