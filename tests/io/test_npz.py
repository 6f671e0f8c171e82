"""Archives of arrays: what is asked for, and what is wrong with one."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from hgg_pyg.io import npz
from hgg_pyg.io.npz import load_npz
from hgg_pyg.io.pickles import NUMPY, SCIPY, as_array
from hgg_pyg.types import UserError

NONE = frozenset[tuple[str, str]]()


class Touches:
    """Pickles as a call of os.system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_the_keys_asked_for_are_read(tmp_path):
    path, touched = tmp_path / "file.npz", tmp_path / "ran"
    evil = np.array(Touches(touched), object)
    np.savez(path, a=np.ones(3), b=np.zeros(2), evil=evil, matrix=np.array(scipy.sparse.csc_matrix(np.eye(2)), object))
    found = load_npz(path, ("a", "matrix", "absent"), NUMPY | SCIPY, "a test file")
    assert set(found) == {"a", "matrix"}
    np.testing.assert_array_equal(as_array(found["matrix"]), np.eye(2))
    with pytest.raises(UserError, match="refused"):
        load_npz(path, ("evil",), NUMPY | SCIPY, "a test file")
    assert not touched.exists()
    with pytest.raises(UserError, match=r"file\.npz: key 'absent' is missing; found a, b, evil, matrix$"):
        load_npz(path, ("a", "absent"), NUMPY, "a test file", required=("a", "absent"))


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_way_of_packing_is_read_and_its_damage_is_one_line(tmp_path, packing):
    """A byte in the middle of the array's numbers is turned: the archive's checksum, or the unpacking, finds it."""
    path, values = tmp_path / "file.npz", np.arange(1000.0)
    np.save(tmp_path / "a.npy", values)
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
    np.testing.assert_array_equal(load_npz(path, ("a",), NONE, "a test file")["a"], values)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"file\.npz: expected a test file(, key '[a-z]+')?, found something unreadable \(.+\)$"
    ):
        load_npz(path, ("a",), NONE, "a test file")


def encrypted(content: bytes) -> bytes:
    """An archive whose entries say that they are encrypted."""
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(mark) + offset
        content = content[:at] + bytes([content[at] | 1]) + content[at + 1 :]
    return content


def npy(header: str) -> bytes:
    """An .npy file of that header, without numbers."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "File is not a zip file"),
        (b"not a zip", "File is not a zip file"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}"), "a single array, as numpy.save writes it"),
    ],
)
def test_what_is_no_archive_is_one_line(tmp_path, content, reason):
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"file\.npz: expected a test file, found something unreadable \({reason}\)"):
        load_npz(path, ("a",), NUMPY, "a test file")
    with pytest.raises(UserError, match="expected a test file, found nothing to read"):
        load_npz(tmp_path / "absent.npz", ("a",), NUMPY, "a test file")


def test_damaged_and_encrypted_archives_are_one_line(tmp_path):
    path = tmp_path / "file.npz"
    np.savez(path, a=np.ones(3))
    whole = path.read_bytes()
    for content in (whole[:200], whole[:60] + b"\xff" * 40 + whole[100:], encrypted(whole)):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"file\.npz: expected a test file(, key '[a-z]+')?, found something unreadable"
        ):
            load_npz(path, ("a",), NUMPY, "a test file")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 0, -1)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 3000 + ")" * 3000 + "}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + " " * 20000 + "3,)}",
        "{'descr': '<q9', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
        "import os",
    ],
)
def test_a_header_is_not_believed(tmp_path, header):
    path = tmp_path / "file.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(header) + bytes(80))
    with pytest.raises(UserError, match=r"file\.npz: expected a test file, key 'a', found something unreadable"):
        load_npz(path, ("a",), NONE, "a test file")


def bomb(path: Path, name: str, size: int) -> None:
    """An entry of zeros: one thousandth of its size on disk, and no longer than a moment to write."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open(name, "w") as entry:
        entry.write(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (" + str(size) + ",)}"))
        for _ in range(size // 2**20):
            entry.write(bytes(2**20))


def test_what_is_not_asked_for_is_not_unpacked_and_the_rest_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "ARRAYS", 2**20)
    path = tmp_path / "file.npz"
    np.savez(path, a=np.ones(3))
    bomb(path, "junk.npy", 8 * 2**20)
    np.testing.assert_array_equal(load_npz(path, ("a",), NONE, "a test file")["a"], np.ones(3))

    def refuse(*_):
        raise AssertionError("unpacked")

    monkeypatch.setattr(zlib, "decompressobj", refuse)
    with pytest.raises(UserError, match=r"file\.npz: expected a test file of at most 1 MiB, found a, junk of 8 MiB"):
        load_npz(path, ("a", "junk"), NONE, "a test file")


def test_a_key_twice_is_refused(tmp_path):
    path = tmp_path / "file.npz"
    number = npy("{'descr': '<f8', 'fortran_order': False, 'shape': ()}") + bytes(8)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", number)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.npy", number)
    with pytest.raises(UserError, match="expected every key once, found 'a' 2 times"):
        load_npz(path, ("a",), NONE, "a test file")
