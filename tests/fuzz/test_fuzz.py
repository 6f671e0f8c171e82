"""The fuzzer itself: a few files for each reader, and that it finds what it should."""

from pathlib import Path

import pytest

from hgg_pyg.types import UserError
from tests.fuzz.mutations import bytes_changed, json_changed
from tests.fuzz.readers import READERS
from tests.fuzz.running import Reader, damaged, fuzz


@pytest.mark.parametrize("name", READERS)
def test_no_reader_ends_in_a_traceback(tmp_path: Path, name: str) -> None:
    found = fuzz(name, READERS[name], tmp_path, iter(range(5)))
    assert found.inputs == 5
    assert found.examples == {}


def test_what_a_reader_should_not_do_is_found(tmp_path: Path) -> None:
    def read(folder: Path) -> None:
        content = (folder / "a").read_bytes()
        if content != b"[1, 2]":
            raise (KeyError, UserError, UserError, MemoryError)[len(content) % 4](
                "two\nlines" if len(content) % 4 == 1 else "one"
            )

    reader = Reader(lambda folder: [b"[1, 2]"], "a", read, (bytes_changed, json_changed))
    found = fuzz("test", reader, tmp_path, iter(range(100)), tmp_path / "kept")
    kinds = {said.partition(":")[0] for said in found.examples}
    assert kinds == {"KeyError", "more than a line", "MemoryError"}
    assert 0 < found.refused < 100
    for seed in found.examples.values():
        assert (tmp_path / "kept" / f"test-{seed}").read_bytes() == damaged("test", reader, [b"[1, 2]"], seed)
