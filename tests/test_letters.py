"""Names and streams in letters of other encodings: nothing that was computed is lost for them."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hgg_pyg import check, evaluate, inspect, train
from hgg_pyg.config import ClipConfig
from hgg_pyg.io.files import write_text
from hgg_pyg.io.streams import lasting_streams
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.runtime import run_command
from hgg_pyg.training import run as run_module
from hgg_pyg.training.run import TrainConfig

LATIN = os.fsdecode(b"caf\xe9")  # as Latin-1 has it, which is no UTF-8
CAMERA = f"$^{LATIN}$"  # no formula

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file names are letters, not bytes, elsewhere")


@pytest.fixture
def captures(tiny_captures: Path, tmp_path: Path) -> Path:
    """A data set, two of its subjects and one of its cameras with names of other letters."""
    out = tmp_path / LATIN / "captures"
    for before, name in (("subject000", "a \u65e5\u672c"), ("subject001", "b"), ("subject002", LATIN)):
        shutil.copytree(tiny_captures / before, out / name)
        (out / name / "cam01").rename(out / name / CAMERA)
        path = out / name / "calibration_full.json"
        cameras = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({CAMERA if key == "cam01" else key: cameras[key] for key in cameras}), "utf-8")
    return out


@contextmanager
def ascii_output(path: Path) -> Iterator[None]:
    """Standard output into a file, as it is where no language is set."""
    with pytest.MonkeyPatch.context() as patch, path.open("w", encoding="ascii") as file:
        patch.setattr(sys, "stdout", file)
        yield


def test_a_subject_of_other_letters_is_used_as_any(captures: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data=captures,
        name="tiny",
        out=captures.parent / "runs",
        cache=captures.parent / "cache",
        steps=1,
        validate_every=1,
        model=ModelConfig(num_layers=1, hidden_channels=8, heads=2, shift="surface", feedback=1),
        clip=ClipConfig(frames=2, target_views=2, target_poses=1),
    )
    with ascii_output(tmp_path / "said"), lasting_streams():
        train.main(config)
        evaluate.main(evaluate.EvaluateConfig(config.folder, views=6, save_images=captures.parent / "images"))
        inspect.main(inspect.InspectConfig(config.folder))
        check.main(check.CheckConfig(captures, frames=1, cameras=2, out=captures.parent / "checked"))
    said = (tmp_path / "said").read_text("ascii")
    assert r"caf\udce9" in said
    assert r"\u65e5" in said
    scores = json.loads((config.folder / "metrics.json").read_bytes())["scores"]
    assert {score["subject"] for score in scores} == {LATIN}
    lines = (config.folder / "scores.csv").read_text("utf-8").splitlines()
    assert {row["subject"] for row in csv.DictReader(line for line in lines if line[0] != "#")} == {r"caf\udce9"}
    assert r"caf\udce9" in (config.folder / "report.html").read_text("utf-8")
    targets = json.loads((captures.parent / "images" / "targets.json").read_bytes())["targets"]
    assert CAMERA in {target["camera"] for target in targets}
    for target in targets:
        assert (captures.parent / "images" / "ours" / target["file"]).is_file()


def test_changes_of_the_source_are_kept_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=tmp_path, check=True)

    (tmp_path / "notes").write_text("notes\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "a")
    (tmp_path / "notes").write_bytes(b"Bj\xf6rn\n")
    monkeypatch.setattr(run_module, "__file__", str(tmp_path / "run.py"))
    assert b"\n+Bj\xf6rn\n" in run_module._git_state()


def test_texts_are_utf8_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "table.md", f"\u00b1 {LATIN}")
    assert (tmp_path / "table.md").read_bytes() == b"\xc2\xb1 caf\\udce9"


@dataclass(frozen=True)
class Nothing:
    """No options."""


def test_commands_say_any_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command.py"])
    with ascii_output(tmp_path / "said"):
        run_command(Nothing, lambda _: print(f"\u00b1 {LATIN}"))
    assert (tmp_path / "said").read_text("ascii") == "\\xb1 caf\\udce9\n"


EXITS = pytest.raises(SystemExit, match="2")


def closed_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize(
    ("open_stream", "ends_with"), [(closed_pipe, nullcontext()), (lambda: os.open("/dev/full", os.O_WRONLY), EXITS)]
)
def test_what_cannot_be_printed_ends_nothing(
    open_stream: Callable[[], int], ends_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for is done, and a full disk behind standard output is told of at the end."""
    descriptor, done = open_stream(), list[bool]()
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)), "utf-8")
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, "argv", ["command.py"])

    def work(config: Nothing) -> None:
        for _ in range(3):
            print("a table " * 10_000)
            print("progress", file=sys.stderr, flush=True)
        done.append(True)

    with ends_with:
        run_command(Nothing, work)
    assert done
    os.close(descriptor)


def test_a_full_disk_behind_standard_output_is_told_of(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    stream = io.TextIOWrapper(io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as stop, lasting_streams():
        print("a table")
    os.close(descriptor)
    assert stop.value.code == 2
    said = "error: standard output: expected room for all that was printed, found: No space left on device\n"
    assert capfd.readouterr().err == said


def test_streams_that_were_never_open_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with lasting_streams():
        sys.stdout.write("a table")
    assert sys.stdout is None
