"""JSON of every kind that others write, and what is wrong with a file."""

import json
import os
from pathlib import Path

import pytest

from hgg_pyg.io import json_files
from hgg_pyg.io.json_files import parse_json, read_json, read_json_object
from hgg_pyg.types import UserError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"Zoë": [1, 2.5, null]}', encoding=encoding)
    assert read_json_object(path, "a test") == {"Zoë": [1, 2.5, None]}


def test_whole_numbers_of_64_bits_and_names_that_are_not_utf_8_are_kept() -> None:
    values = {"seed": 2**63 - 1, "least": -(2**63), "most": 2**64 - 1, "name": "caf\udce9"}
    assert parse_json(json.dumps(values).encode()) == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a test, found what is not JSON"),
        (b"{'a': 1}", "expected a test, found what is not JSON"),
        (b'{"a": 1} {', "expected a test, found what is not JSON"),
        (b"[" * 33 + b"]" * 33, "expected at most 32 lists and objects within one another, found more"),
        (b"[" * 10**6, "expected at most 32 lists"),
        (b'{"a":' * 10**5 + b"1" + b"}" * 10**5, "expected at most 32 lists"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "expected every key once, found 'b' twice"),
        (b"[" + b"9" * 5000 + b"]", "expected whole numbers of 64 bits, found one of 5000 digits"),
        (b"[18446744073709551616]", "expected whole numbers of 64 bits, found one of 20 digits"),
        (b'["caf\xe9"]', "expected text in UTF-8, found the byte 0xe9 at 5"),
        (rb'["\ud83d"]', "expected text of whole characters, found"),
        (rb'{"a\nb": 1}', "expected text without control characters, found 'a.*nb'"),
        (rb'["a\u0000"]', "expected text without control characters"),
        (b"[1]", "expected a test, found a list"),
        (b"3", "expected a test, found 3"),
        (b"null", "expected a test, found None"),
        (b'"text"', "expected a test, found a text"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.json: {message}") as caught:
        read_json_object(path, "a test")
    assert "\n" not in str(caught.value)


def test_depth_within_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" * 32 + "1" + "]" * 32)
    assert json.dumps(read_json(path, "a test")) == path.read_text()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "JSON_FILE", 2**20)
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(3 * 2**20)
    with pytest.raises(UserError, match=r"a\.json: expected a test of at most 1 MiB, found one of 3 MiB"):
        read_json(path, "a test")
    with pytest.raises(UserError, match="expected a test, found nothing to read"):
        read_json(tmp_path, "a test")


def test_a_key_twice_among_very_many():
    content = b"{" + b",".join(b'"%d":0' % i for i in range(200_000)) + b',"7":1}'
    with pytest.raises(ValueError, match="expected every key once, found '7' twice"):
        parse_json(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").symlink_to("/dev/zero")
    for name in ("a.json", "b.json"):
        with pytest.raises(UserError, match=rf"{name}: expected something, found a pipe or a device"):
            read_json(tmp_path / name, "something")
