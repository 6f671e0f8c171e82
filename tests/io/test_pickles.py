"""Pickles from the web: what they hold is read, what they would run is not."""

import collections
import contextlib
import functools
import io
import os
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from hgg_pyg.io.pickles import CHUMPY, NUMPY, SCIPY, TORCH, Inert, as_array, load_npy, load_pickle
from hgg_pyg.types import UserError

ALL = NUMPY | SCIPY | CHUMPY | TORCH


def load(path: Path, content: bytes, allow=ALL):
    path.write_bytes(content)
    return load_pickle(path, allow, "a test file")


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_matrices_and_tensors_come_back(tmp_path, protocol):
    rng = np.random.default_rng(0)
    dense = rng.random((4, 5)) * (rng.random((4, 5)) < 0.5)
    content = {
        "array": rng.random((2, 3)),
        "fortran": np.asfortranarray(rng.random((3, 2)).astype(np.float32)),
        "number": np.float64(0.5),
        "words": np.array(["a", None], object),
        "plain": [1, "x", (2.5, None, True), b"\x00\xff"],
        "tensor": torch.arange(6.0).reshape(2, 3).T,
        "part": torch.arange(10)[2:7:2],
        "empty": torch.empty(0, 3),
        "flags": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.bfloat16, requires_grad=True),
        **{form: getattr(scipy.sparse, f"{form}_matrix")(dense) for form in ("csc", "csr", "coo")},
    }
    found = load(tmp_path / "file.pkl", pickle.dumps(content, protocol))
    assert found["plain"] == content["plain"]
    assert found["number"] == 0.5
    assert list(found["words"]) == ["a", None]
    for name in ("array", "fortran"):
        np.testing.assert_array_equal(found[name], content[name])
        assert found[name].dtype == content[name].dtype
    for name in ("tensor", "part", "empty", "flags", "half"):
        assert torch.equal(found[name], content[name].detach())
        assert not found[name].requires_grad
    for form in ("csc", "csr", "coo"):
        np.testing.assert_array_equal(as_array(found[form]), dense)
    assert as_array(found["plain"]) is None


def test_the_names_of_numpy_before_and_after_version_2(tmp_path):
    content = pickle.dumps([np.ones(3), np.float32(2)], 2)
    spelled = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert spelled != content or b"numpy.core.multiarray" in content
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        found = load(tmp_path / "file.pkl", spelled.replace(b"numpy.core.multiarray", name))
        np.testing.assert_array_equal(found[0], np.ones(3))
        assert found[1] == 2


def test_arrays_as_python_2_wrote_them(tmp_path):
    """Bytes are text, 0 and 1 stand for False and True, and the byte order may be the other one."""
    dtype = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'>'\nNNNI-1\nI-1\nI0\ntb"
    data = repr(np.array([1.5, -2.0, 300.0], ">f8").tobytes())[1:].encode()
    old = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I3\nt"
    found = load(tmp_path / "file.pkl", old + dtype + b"I00\nS" + data + b"\ntb.")
    np.testing.assert_array_equal(found, [1.5, -2.0, 300.0])
    assert load(tmp_path / "file.pkl", b"cnumpy.core.multiarray\nscalar\n(" + dtype + b"S" + data + b"\ntR.") == 1.5


def test_an_array_that_was_read_can_be_pickled(tmp_path):
    found = load(tmp_path / "file.pkl", pickle.dumps(np.ones((2, 3))))
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is np.ndarray
    np.testing.assert_array_equal(again, np.ones((2, 3)))


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy.core.numeric\n_frombuffer\n(S'AAAAAAAA'\ncnumpy\ndtype\n(S'O'\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb(I1\ntS'C'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O'\ntRS'AAAAAAAA'\ntR.",
        b"cnumpy\ndtype\n(S'f8'\ntR(I3\nS'<'\nN(S'a'\nt(dS'a'\n(cnumpy\ndtype\n(S'O'\ntRI0\ntsI8\nI8\nI0\ntb.",
        b"cnumpy\ndtype\n(S'O,O'\ntR.",
        *(
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I9\ntcnumpy\ndtype\n(S'O'\ntRI00\n"
            + data + b"tb."
            for data in (b"(lI1\na", b"S'AAAAAAAA'\n")
        ),
    ],
    ids=["frombuffer", "scalar", "fields", "records", "short list", "bytes"],
)  # fmt: skip
def test_bytes_are_not_passed_off_as_objects(tmp_path, content):
    """numpy would follow these eight bytes as a pointer."""
    with pytest.raises(UserError, match="found something unreadable"):
        load(tmp_path / "file.pkl", content)


def test_an_array_made_at_will_is_none(tmp_path):
    """`numpy.ndarray` is for `_reconstruct` to be told of; called, it would take bytes for objects as well."""
    made = load(tmp_path / "file.pkl", b"cnumpy\nndarray\n((I1\ntS'O'\nS'AAAAAAAA'\ntR.")
    assert isinstance(made, Inert)
    assert as_array(made) is None


def chumpy_modules():
    """A module that pickles like chumpy."""
    ch, reordering = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy.reordering")

    class Ch:
        def __init__(self, **state):
            self.__dict__.update(state, _dirty_vars={"x"}, _itr=None, _depends_on_deps={})

    class Select(Ch):
        pass

    Ch.__module__, Ch.__qualname__, ch.Ch = "chumpy.ch", "Ch", Ch
    Select.__module__, Select.__qualname__, reordering.Select = "chumpy.reordering", "Select", Select
    return {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": ch, "chumpy.reordering": reordering}


@pytest.mark.parametrize("protocol", range(6))
def test_chumpy_is_read_without_chumpy(tmp_path, monkeypatch, protocol):
    modules = chumpy_modules()
    with monkeypatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        leaf = modules["chumpy.ch"].Ch(x=np.arange(12.0).reshape(3, 4))
        some = modules["chumpy.reordering"].Select(a=leaf, idxs=np.array([0, 5, 10, 11]), preferred_shape=(2, 2))
        content = pickle.dumps([leaf, some], protocol)
    leaf, some = load(tmp_path / "file.pkl", content)
    assert isinstance(leaf, Inert)
    np.testing.assert_array_equal(as_array(leaf), np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(as_array(some), [[0, 5], [10, 11]])
    some.idxs = np.array([99])
    with pytest.raises(ValueError, match="out of bounds"):
        as_array(some)
    some.a = some
    with pytest.raises(ValueError, match="damaged"):
        as_array(some)


def test_a_sparse_matrix_that_points_outside_itself_is_refused(tmp_path):
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix.indices[0] = 1000
    found = load(tmp_path / "file.pkl", pickle.dumps(matrix))
    with pytest.raises(ValueError, match="damaged"):
        as_array(found)


ATTACKS = {
    "os.system": lambda touch: (pickle.dumps(Calls(os.system, f"touch {touch}")), f"{os.name}.system"),
    "eval": lambda touch: (pickle.dumps(Calls(eval, f"open({touch!r}, 'w')")), "builtins.eval"),
    "eval of Python 2": lambda touch: (pickle.dumps(Calls(eval, f"open({touch!r}, 'w')"), 2), "__builtin__.eval"),
    "partial": lambda touch: (pickle.dumps(Calls(functools.partial(open, touch, "w"))), "functools.partial"),
    "getattr": lambda touch: (pickle.dumps(Calls(getattr, np.ndarray, "tofile")), "builtins.getattr"),
    "open": lambda touch: (pickle.dumps(Calls(open, touch, "w")), r"(_?io)\.open"),
    "numpy's save": lambda touch: (pickle.dumps(Calls(np.save, touch, np.ones(1))), "numpy.save"),
    "numpy's f2py": lambda touch: (
        f"cnumpy.f2py.diagnose\nrun_command\n(S'touch {touch}'\ntR.".encode(),
        "numpy.f2py.diagnose.run_command",
    ),
    "numpy's runstring": lambda touch: (
        f"cnumpy.testing._private.utils\nrunstring\n(S'open({str(touch)!r}, \"w\")'\n(dtR.".encode(),
        "numpy.testing._private.utils.runstring",
    ),
    "torch's load": lambda touch: (pickle.dumps(Calls(torch.load, touch)), "torch.serialization.load"),
    "a dotted name": lambda touch: (
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.tofile.x\x93.",
        "numpy.ndarray.tofile.x",
    ),
    "a dotted path to os": lambda touch: (
        b"\x80\x04\x8c\x05torch\x8c\tos.system\x93\x8c" + bytes([len(f"touch {touch}")]) + f"touch {touch}".encode()
        + b"\x85R.",
        "torch.os.system",
    ),
    "INST": lambda touch: (f"(S'touch {touch}'\nios\nsystem\n.".encode(), "os.system"),
    "a name that is nearly right": lambda touch: (b"cnumpy.core.multiarray\nload\n.", "numpy.core.multiarray.load"),
    "another module's function of an allowed name": lambda touch: (b"cevil\n_reconstruct\n.", "evil._reconstruct"),
    "chumpy's neighbour": lambda touch: (b"cchumpyx.ch\nCh\n.", "chumpyx.ch.Ch"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pickle_that_runs_code_is_refused_by_name(tmp_path, attack):
    touched = tmp_path / "ran"
    content, name = ATTACKS[attack](str(touched))
    with pytest.raises(UserError, match=rf"file\.pkl: refused: {name} is not something a test file may hold$"):
        load(tmp_path / "file.pkl", content)
    assert not touched.exists()


def test_these_attacks_work_where_nothing_is_refused(tmp_path):
    """The attacks above are real: an open unpickler runs them."""
    for attack in ("os.system", "eval", "eval of Python 2", "open", "INST", "a dotted path to os"):
        touched = tmp_path / attack.replace(" ", "_")
        opened = pickle.loads(ATTACKS[attack](str(touched))[0])
        if hasattr(opened, "close"):
            opened.close()
        assert touched.exists(), attack


def storage(content: bytes, keys: bytes = b"", numbers: bytes = b"") -> bytes:
    """Bytes as torch writes a storage: magic number, version, machine, description, keys, numbers."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    return b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, machine)) + content + keys + numbers


def test_code_inside_the_bytes_of_a_torch_storage_is_refused(tmp_path):
    touched = tmp_path / "ran"
    for inner in (
        storage(pickle.dumps(Calls(os.system, f"touch {touched}"), 2)),
        pickle.dumps(Calls(os.system, f"touch {touched}"), 2),
    ):
        outer = pickle.dumps(Calls(torch.storage._load_from_bytes, inner))
        with pytest.raises(UserError, match=f"refused: {os.name}.system is not something"):
            load(tmp_path / "file.pkl", outer)
        assert not touched.exists()
    with pytest.raises(RuntimeError, match="magic number"):  # torch's own runs it, then finds no storage
        pickle.loads(pickle.dumps(Calls(torch.storage._load_from_bytes, inner)))
    assert touched.exists()


def test_archives_inside_a_torch_storage_are_refused(tmp_path):
    """torch.load would take zip and tar archives too, whose readers have been made to run code."""
    file = io.BytesIO()
    torch.save(torch.ones(3), file)
    for inner in (file.getvalue(), b"archive".ljust(1024, b"\0")):
        with pytest.raises(UserError, match="expected a test file, found something unreadable"):
            load(tmp_path / "file.pkl", pickle.dumps(Calls(torch.storage._load_from_bytes, inner)))


@pytest.mark.parametrize(
    ("pid", "keys", "numbers"),
    [
        (("module", 1, 2, 3), ["0"], b""),
        (("storage", torch.FloatStorage, "0", "cpu", 2, ("0", 0, 1)), ["0"], struct.pack("<q2f", 2, 1, 2)),
        (("storage", torch.FloatStorage, "0", "cpu", 2, None), ["0", "1"], struct.pack("<q2f", 2, 1, 2)),
        (("storage", torch.FloatStorage, "0", "cpu", 2, None), ["0"], struct.pack("<q2f", 3, 1, 2)),
        (("storage", torch.FloatStorage, "0", "cpu", 2, None), ["0"], struct.pack("<q", -1)),
        (("storage", torch.FloatStorage, "0", "cpu", 2, None), ["0"], b"\0"),
    ],
)
def test_a_damaged_torch_storage_is_refused(tmp_path, pid, keys, numbers):
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return pid if obj == "here" else None

    file = io.BytesIO()
    Pickler(file, 2).dump("here")
    inner = storage(file.getvalue(), pickle.dumps(keys, 2), numbers)
    with pytest.raises(UserError, match="found something unreadable"):
        load(tmp_path / "file.pkl", pickle.dumps(Calls(torch.storage._load_from_bytes, inner)))


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    content = pickle.dumps(torch.arange(6.0).reshape(2, 3), 2)
    forged = content.replace(b"K\x00K\x02K\x03\x86", b"K\x00K\x7fK\x03\x86")
    assert forged != content
    with pytest.raises(UserError, match="found something unreadable"):
        load(tmp_path / "file.pkl", forged)


def settable(name: tuple[str, str]) -> bytes:
    """A pickle that sets the attribute `left_behind` on what it imports."""
    return f"c{name[0]}\n{name[1]}\n".encode() + b"(N(S'left_behind'\nI1\ndtb."


@pytest.mark.parametrize("name", [*sorted(ALL - {("chumpy", "*")}), ("chumpy.ch", "Ch")], ids=".".join)
def test_a_pickle_leaves_nothing_behind(tmp_path, name):
    """Attributes that it sets on what it may name are set on stand-ins, or cannot be set."""
    with contextlib.suppress(UserError):  # of C: nothing can be set on it
        assert load(tmp_path / "file.pkl", settable(name)).left_behind == 1
    again = load(tmp_path / "file.pkl", f"c{name[0]}\n{name[1]}\n.".encode())
    assert not hasattr(again, "left_behind")
    for real in (torch._utils._rebuild_tensor_v2, torch.storage._load_from_bytes, scipy.sparse.csc_matrix,
                 np.ndarray, np.dtype, collections.OrderedDict, Inert):  # fmt: skip
        assert not hasattr(real, "left_behind")


def test_names_outside_the_groups_given_are_refused(tmp_path):
    for content, name in (
        (np.ones(3), "numpy"),
        (torch.ones(3), r"torch\._utils\._rebuild_tensor_v2"),
        (scipy.sparse.csc_matrix(np.eye(2)), r"scipy\.sparse"),
    ):
        with pytest.raises(UserError, match=f"refused: {name}"):
            load(tmp_path / "file.pkl", pickle.dumps(content), frozenset())
    assert load(tmp_path / "file.pkl", pickle.dumps(1.5), frozenset()) == 1.5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps({"a": np.ones(99)})[:-20],
        b"cnumpy.core.numeric\n_frombuffer\n(I-5\ntR.",
        b"Pid\n.",
    ],
)
def test_damaged_pickles_are_one_line(tmp_path, content):
    with pytest.raises(
        UserError, match=r"file\.pkl: expected a test file, found something unreadable \(.+\)$"
    ) as error:
        load(tmp_path / "file.pkl", content)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="found nothing to read"):
        load_pickle(tmp_path / "absent.pkl", ALL, "a test file")
    with pytest.raises(UserError, match="found nothing to read"):
        load_pickle(tmp_path, ALL, "a test file")


def test_bytes_in_an_odd_encoding_are_refused(tmp_path):
    with pytest.raises(UserError, match="bytes written in 'zlib'"):
        load(tmp_path / "file.pkl", b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.")


def test_npy_of_numbers_and_of_objects(tmp_path):
    path, params = tmp_path / "file.npy", {"poses": np.ones((1, 72)), "names": ["a", "b"]}
    np.save(path, np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(load_npy(path, frozenset(), "a test file"), [[0, 1, 2], [3, 4, 5]])
    np.save(path, params)  # pyright: ignore[reportArgumentType]
    found = load_npy(path, NUMPY, "a test file").item()
    assert found["names"] == ["a", "b"]
    np.testing.assert_array_equal(found["poses"], params["poses"])


def test_npy_that_runs_code_or_is_damaged(tmp_path):
    path, touched = tmp_path / "file.npy", tmp_path / "ran"
    np.save(path, np.array([Calls(os.system, f"touch {touched}")], object))
    with pytest.raises(UserError, match=f"refused: {os.name}.system is not something a test file may hold"):
        load_npy(path, ALL, "a test file")
    assert not touched.exists()
    np.save(path, np.array([{"a": 1}], object))
    whole = path.read_bytes()
    np.save(path, np.ones(100))
    other = whole[: whole.index(b"\n") + 1] + pickle.dumps([1])
    for content in (whole[:-3], path.read_bytes()[:-3], b"", b"\x93NUMPY\x07\x00", other):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"file\.npy: expected a test file, found something unreadable \(.+\)$"):
            load_npy(path, NUMPY, "a test file")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "object number 2147483647 in 9 bytes"),
        (b"Np9999999999\n.", "object number 9999999999 in"),
        (b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"abc.", r"\d+ bytes .* but only \d+ remain"),
        (pickle.dumps(torch.zeros(1).expand(2**40), 2), "an array of 4.1e.03 GiB, expected at most 2 GiB"),
    ],
)
def test_memory_is_not_taken_because_a_file_says_so(tmp_path, content, reason):
    with pytest.raises(UserError, match=rf"file\.pkl: expected a test file, found something unreadable \(.*{reason}"):
        load(tmp_path / "file.pkl", content)


def test_a_sparse_matrix_that_is_huge_when_dense_is_refused(tmp_path):
    found = load(tmp_path / "file.pkl", pickle.dumps(scipy.sparse.csc_matrix((10**6, 10**6))))
    with pytest.raises(ValueError, match=r"an array of .* GiB, expected at most 2 GiB"):
        as_array(found)


@pytest.mark.parametrize("kind", ["c8", "V4", "M8[s]", [("a", "f4")]])
def test_npy_of_other_kinds_is_refused(tmp_path, kind):
    np.save(tmp_path / "file.npy", np.zeros(3, kind))
    with pytest.raises(UserError, match=r"found something unreadable \(an array of "):
        load_npy(tmp_path / "file.npy", NUMPY, "a test file")
