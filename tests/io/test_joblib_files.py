"""Files that joblib wrote, of the two forms it has had since 0.10, byte for byte as it left them."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from hgg_pyg.io.joblib_files import load_joblib
from hgg_pyg.types import UserError

# joblib.dump({1: {"pose": [arange(3, float32), ones(3)], "betas": asfortranarray([[0, 1, 2], [3, 4, 5]], float32),
# "n": "text"}}), by joblib 1.1.1 and 1.4.2
FILES = {
    "1.1": (
        "gASVwgAAAAAAAAB9lEsBfZQojARwb3NllF2UKIwTam9ibGliLm51bXB5X3BpY2tsZZSMEU51bXB5QXJyYXlXcmFwcGVylJOUKYGU"
        "fZQojAhzdWJjbGFzc5SMBW51bXB5lIwHbmRhcnJheZSTlIwFc2hhcGWUSwOFlIwFb3JkZXKUjAFDlIwFZHR5cGWUaAqMBWR0eXBl"
        "lJOUjAJmNJSJiIeUUpQoSwOMATyUTk5OSv////9K/////0sAdJRijAphbGxvd19tbWFwlIh1YgAAAAAAAIA/AAAAQJVBAAAAAAAA"
        "AGgGKYGUfZQoaAloDGgNSwOFlGgPaBBoEWgTjAJmOJSJiIeUUpQoSwNoF05OTkr/////Sv////9LAHSUYmgZiHViAAAAAAAA8D8A"
        "AAAAAADwPwAAAAAAAPA/lSwAAAAAAAAAZYwFYmV0YXOUaAYpgZR9lChoCWgMaA1LAksDhpRoD4wBRpRoEWgWaBmIdWIAAAAAAABA"
        "QAAAgD8AAIBAAAAAQAAAoECVDgAAAAAAAACMAW6UjAR0ZXh0lHVzLg=="
    ),
    "1.4": (
        "gASV4gAAAAAAAAB9lEsBfZQojARwb3NllF2UKIwTam9ibGliLm51bXB5X3BpY2tsZZSMEU51bXB5QXJyYXlXcmFwcGVylJOUKYGU"
        "fZQojAhzdWJjbGFzc5SMBW51bXB5lIwHbmRhcnJheZSTlIwFc2hhcGWUSwOFlIwFb3JkZXKUjAFDlIwFZHR5cGWUaAqMBWR0eXBl"
        "lJOUjAJmNJSJiIeUUpQoSwOMATyUTk5OSv////9K/////0sAdJRijAphbGxvd19tbWFwlIiMG251bXB5X2FycmF5X2FsaWdubWVu"
        "dF9ieXRlc5RLEHViAv//AAAAAAAAgD8AAABAlUUAAAAAAAAAaAYpgZR9lChoCWgMaA1LA4WUaA9oEGgRaBOMAmY4lImIh5RSlChL"
        "A2gXTk5OSv////9K/////0sAdJRiaBmIaBpLEHViBf//////AAAAAAAA8D8AAAAAAADwPwAAAAAAAPA/lTAAAAAAAAAAZYwFYmV0"
        "YXOUaAYpgZR9lChoCWgMaA1LAksDhpRoD4wBRpRoEWgWaBmIaBpLEHViDv//////////////////AAAAAAAAQEAAAIA/AACAQAAA"
        "AEAAAKBAlQ4AAAAAAAAAjAFulIwEdGV4dJR1cy4="
    ),
}


@pytest.mark.parametrize("version", FILES)
def test_what_joblib_wrote(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(base64.b64decode(FILES[version]))
    ((key, content),) = load_joblib(path, "a file").items()
    assert (key, content["n"]) == (1, "text")
    np.testing.assert_array_equal(content["pose"][0], np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(content["pose"][1], np.ones(3))
    np.testing.assert_array_equal(content["betas"], np.arange(6).reshape(2, 3))
    assert [array.dtype for array in (*content["pose"], content["betas"])] == [np.float32, np.float64, np.float32]


def complaint(path: Path) -> str | None:
    """What is said of a file, if anything."""
    try:
        load_joblib(path, "a file")
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("version", FILES)
def test_damage_is_one_line(version: str, tmp_path: Path) -> None:
    """Cut off anywhere, or with any byte another one."""
    path, content = tmp_path / "a.pkl", base64.b64decode(FILES[version])
    for place in range(0, len(content) - 1, 7):
        changed = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
        path.write_bytes(changed)  # it may still be a pickle
        said = complaint(path)
        assert said is None or (said.startswith(f"{path}: ") and "\n" not in said)
        path.write_bytes(content[:place])
        assert (complaint(path) or "").startswith(f"{path}: expected a file, found something unreadable (")


def test_memory_is_not_taken_before_the_bytes_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x05\x96" + (1 << 45).to_bytes(8, "little") + b"abc.")
    with pytest.raises(UserError, match="an array of bytes that can be changed"):
        load_joblib(path, "a file")
