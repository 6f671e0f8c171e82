"""Archives made here, a few bytes each: what is fetched is what was pinned, and all of it or nothing."""

import io
import os
import re
import shutil
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError
from hgg_pyg.weights import Fetchable, Source, fetch, fetchables, find_fetchable
from hgg_pyg.weights.__main__ import WeightsConfig, main
from hgg_pyg.weights.fetchable import same_bytes, sha256_of

CONTENT = {"a.bin": b"first", "inner/b.bin": b"second"}
MEMBERS = {"a.bin": "fake/a.bin", "inner/b.bin": "fake/data/b.bin"}


def pack(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, content in members.items():
                zipped.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def fetchable(archive: Path, folder: Path, checksums: dict[str, str] | None = None) -> Fetchable:
    sums = checksums or {name: sha256_of(write(folder.parent / "sum", content)) for name, content in CONTENT.items()}
    return Fetchable(
        name="fake",
        summary="two files",
        source=Source("hgg-fake", "1.0", archive.name, sha256_of(archive), archive.stat().st_size),
        licence="nobody's",
        members=MEMBERS,
        folder=lambda: folder,
        wrong=same_bytes(sums),
    )


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


METADATA = {
    "hgg_fake-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: hgg-fake\nVersion: 1.0\n",
    "hgg_fake-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "hgg_fake-1.0.dist-info/RECORD": b"",
}
WHOLE = {member: CONTENT[name] for name, member in MEMBERS.items()}


@pytest.fixture(params=["hgg_fake-1.0-py3-none-any.whl", "hgg_fake-1.0.tar.gz"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return pack(tmp_path / request.param, {**METADATA, **WHOLE, "fake/other.bin": b"not ours"})


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_fetched_is_the_members_and_where_they_came_from(archive: Path, tmp_path: Path) -> None:
    wanted = fetchable(archive, tmp_path / "out")
    folder = fetch(wanted, archive=archive)
    assert files(folder) == {*CONTENT, "fake.source.txt"}
    assert all((folder / name).read_bytes() == content for name, content in CONTENT.items())
    told = (folder / "fake.source.txt").read_text()
    for said in ("hgg-fake 1.0", archive.name, sha256_of(archive), "nobody's", *MEMBERS.values()):
        assert said in told
    archive.unlink()
    assert fetch(wanted, archive=archive) == folder  # all is there: nothing is asked for


def test_only_what_is_missing_is_written_and_nothing_is_replaced(archive: Path, tmp_path: Path) -> None:
    wanted = fetchable(archive, tmp_path / "out")
    folder = fetch(wanted, archive=archive)
    stamp = (folder / "a.bin").stat().st_mtime_ns
    (folder / "inner" / "b.bin").unlink()
    fetch(wanted, archive=archive)
    assert (folder / "a.bin").stat().st_mtime_ns == stamp
    (folder / "a.bin").write_bytes(b"the user's own")
    with pytest.raises(UserError, match=r"out/a\.bin: expected SHA-256 \w+, found \w+; move it away, or .* --out"):
        fetch(wanted, archive=archive)
    assert (folder / "a.bin").read_bytes() == b"the user's own"
    (folder / "a.bin").unlink()
    (folder / "a.bin").mkdir()
    with pytest.raises(UserError, match="expected a file, found a folder"):
        fetch(wanted, archive=archive)


def test_another_archive_is_refused_before_it_is_opened(archive: Path, tmp_path: Path) -> None:
    wanted = fetchable(archive, tmp_path / "out")
    archive.write_bytes(b"no archive at all")
    with pytest.raises(UserError, match=rf"expected {re.escape(archive.name)} with SHA-256 \w+, found \w+"):
        fetch(wanted, archive=archive)
    with pytest.raises(UserError, match="no-such: expected the file"):
        fetch(wanted, archive=tmp_path / "no-such")
    assert not (tmp_path / "out").exists()


def test_a_member_that_is_another_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    wanted = fetchable(archive, tmp_path / "out", dict.fromkeys(CONTENT, "0" * 64))
    with pytest.raises(UserError, match=rf"a\.bin, made of {re.escape(archive.name)}: expected SHA-256 0+, found"):
        fetch(wanted, archive=archive)
    assert not files(tmp_path / "out")


def test_damaged_and_wily_archives_are_refused(archive: Path, tmp_path: Path) -> None:
    lacking = pack(tmp_path / f"lacking-{archive.name}", {"fake/a.bin": b"first", "../../fake/data/b.bin": b"second"})
    with pytest.raises(UserError, match=r"expected an archive with what we need, found: .*fake/data/b\.bin"):
        fetch(fetchable(lacking, tmp_path / "out"), archive=lacking)
    cut = write(tmp_path / f"cut-{archive.name}", archive.read_bytes()[:-60])
    with pytest.raises(UserError, match="expected an archive with what we need"):
        fetch(fetchable(cut, tmp_path / "out"), archive=cut)
    assert not files(tmp_path / "out")


def test_links_in_an_sdist_are_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", b"first")
    path = tmp_path / "linked.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("fake/a.bin")
        info.type, info.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(info)
    with pytest.raises(UserError, match=r"fake/a\.bin is no file"):
        fetch(fetchable(path, tmp_path / "out"), archive=path)


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_fetched(archive: Path, tmp_path: Path) -> None:
    below = write(tmp_path / "file", b"") / "below"
    with pytest.raises(UserError, match=r"--out .*file/below: expected a folder that can be written"):
        fetch(fetchable(archive, tmp_path / "out"), below, archive=tmp_path / "never-looked-at")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.skipif(shutil.which("pip") is None, reason="no pip")
def test_pip_downloads_by_the_users_own_settings(index: Path, tmp_path: Path) -> None:
    wheel = pack(index / "hgg_fake-1.0-py3-none-any.whl", {**METADATA, **WHOLE})
    wanted = fetchable(wheel, tmp_path / "out")
    pack(wheel, {**METADATA, **WHOLE, "fake/more.bin": b"of somebody else"})
    with pytest.raises(UserError, match=rf"found: a file of another checksum \({sha256_of(wheel)}\); .*--from FILE"):
        fetch(wanted)
    pack(wheel, {**METADATA, **WHOLE})
    wanted = fetchable(wheel, tmp_path / "out")
    assert files(fetch(wanted)) == {*CONTENT, "fake.source.txt"}


def test_what_pip_says_is_one_line(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = pack(tmp_path / "hgg_fake-1.0-py3-none-any.whl", {**METADATA, **WHOLE})
    wanted = fetchable(wheel, tmp_path / "out")
    with pytest.raises(UserError, match=r"expected hgg_fake-1.0-py3-none-any.whl .*found: No matching distribution"):
        fetch(wanted)
    python = write(tmp_path / "python", b"#!/bin/sh\necho $0: No module named pip >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UserError, match=r"found: no pip in .*/python \(python -m ensurepip installs it\)"):
        fetch(wanted)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["squeeze"], "name: expected one of clip, landmarks, landmarks-heavy, lpips, found 'squeeze'"),
        ([], "missing: NAME lpips (AlexNet"),
        (["clip", "--from", "no-such"], "--from no-such: expected the file pose2sim-0.10.49-py3-none-any.whl"),
        (["clip", "--form", "x"], "--form, x: expected options that there are"),
    ],
)
def test_wrong_command_lines_end_in_one_line(arguments, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["hgg_pyg/weights/__main__.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(WeightsConfig, main)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not files(tmp_path)


def test_the_command_says_what_it_did(archive: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    wanted = fetchable(archive, tmp_path / "out")
    monkeypatch.setitem(fetchables(), "fake", wanted)
    config = WeightsConfig("fake", archive=archive)
    for end in ("MB\n", "were there already\n"):
        assert main(config) == tmp_path / "out"
        assert capsys.readouterr().out.split("licence")[0].endswith(end)
    assert main(replace(config, out=tmp_path / "elsewhere")) == tmp_path / "elsewhere"


def test_everything_pinned_is_a_checksum() -> None:
    assert set(fetchables()) >= {"clip", "landmarks", "landmarks-heavy", "lpips"}
    for wanted in fetchables().values():
        assert re.fullmatch("[0-9a-f]{64}", wanted.source.sha256)
        name = wanted.source.distribution.rpartition("/")[2]  # npm's have a scope before it
        assert wanted.source.file.startswith(f"{name}-{wanted.source.version}")
        assert not any(Path(name).is_absolute() or ".." in Path(name).parts for name in wanted.members)
    with pytest.raises(UserError, match="NAME: expected one of clip, landmarks, landmarks-heavy, lpips"):
        find_fetchable("lpips2")
