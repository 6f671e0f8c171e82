"""The example of a relation of one's own, run from another folder as a reader would."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_prints_the_graph_with_its_relation(tmp_path: Path) -> None:
    script = ROOT / "examples" / "own_relation.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "(vertex, mirrors, vertex)={" in done.stdout
    assert "edge_attr=[6890, 2]" in done.stdout
    assert done.stdout.index("(vertex, near") < done.stdout.index("(vertex, mirrors")
