"""Fuzz the readers of files: `python -m tests.fuzz --seconds 60`, or one of them again with the seed of a finding.

Each reader runs in a process of its own, with so much memory and no more, and a file that ends the process is kept.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from tests.fuzz.readers import READERS
from tests.fuzz.running import damaged, fuzz, until

MEMORY = 4 * 2**30  # bytes of address space beyond what a process starts with


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--reader", choices=list(READERS), help="only this one")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="read the file of this seed once, and show what is raised")
    parser.add_argument(
        "--keep", type=Path, default=Path("runs/fuzz"), help="folder for files that findings are made of"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        return _one(given.reader, given)
    if given.seed is not None:
        return _again(given.reader or parser.error("--seed: expected --reader NAME too"), given.seed)
    wrong = 0
    for name in [given.reader] if given.reader else READERS:
        folder = _folder(given.keep, name)
        options = ["--seconds", f"{given.seconds}", "--first", f"{given.first}", "--keep", f"{given.keep}"]
        command = [sys.executable, "-m", "tests.fuzz", "--reader", name, "--inside", *options]
        code = subprocess.run(command, check=False).returncode
        if code not in (0, 1):
            seed = (folder / "seed.txt").read_text().strip() if (folder / "seed.txt").exists() else "none"
            print(f"{name}: FOUND: the process ended with {code} at seed {seed}")
            shutil.copy(folder / READERS[name].file, given.keep / f"{name}-{seed}")
        shutil.rmtree(folder, ignore_errors=True)
        wrong += code != 0
    return int(wrong > 0)


def _one(name: str, given: argparse.Namespace) -> int:
    READERS[name].valid(_folder(given.keep, name) / "first")  # imports and caches are made before memory is limited
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    found = fuzz(name, READERS[name], _folder(given.keep, name), until(given.seconds, given.first), given.keep)
    print(f"{name}: {found.inputs} inputs, {found.refused} refused, {found.count} findings", flush=True)
    for said, seed in found.examples.items():
        print(f"{name}: FOUND: seed {seed}: {said}", flush=True)
    return int(found.count > 0)


def _again(name: str, seed: int) -> int:
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        content = damaged(name, reader, reader.valid(folder), seed)
        (folder / reader.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / reader.file).write_bytes(content)
        print(f"{len(content)} bytes: {content[:300]!r}")
        try:
            print("read:", reader.read(folder))
        except Exception:
            traceback.print_exc()
    return 0


def _folder(keep: Path, name: str) -> Path:
    return keep / f".{name.replace('/', '_')}"


if __name__ == "__main__":
    sys.exit(main())
