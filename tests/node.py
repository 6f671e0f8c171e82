"""Node and packages of it that tests read our files with, where this machine has them."""

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


def run_node(script: str, package: str, *arguments: str | Path) -> str:
    """What a script prints that imports a package; the test is skipped where Node or the package is missing."""
    node = shutil.which("node")
    folders = [Path(place) for place in _PLACES if place and (Path(place) / package).is_dir()]
    if node is None or not folders:
        pytest.skip(f"needs Node and its package {package}: npm install in hgg_pyg/avatar/exporters/html/viewer")
    command = [node, "--input-type=module", "-", *map(str, arguments)]
    done = subprocess.run(
        command, input=script, cwd=folders[0].parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
