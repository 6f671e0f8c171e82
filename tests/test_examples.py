"""Every file of examples/ runs as it is, from another folder, and what it prints is right."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import python

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def numbers(printed: str, pattern: str) -> list[float]:
    """What stands where the pattern has its group, on each line that matches."""
    return [float(found.replace(",", "")) for found in re.findall(pattern, printed)]


def check_convs(printed: str) -> None:
    (difference,) = numbers(printed, r"differ by at most ([\d.e+-]+)")
    assert difference < 1e-5


def check_own_conv(printed: str) -> None:
    ours, pygs, own = numbers(printed, r"([\d,]+) weights of the blocks with a gradient")
    assert own == 2 * (2 * 64 * 128 + 128 + 64 + 2 * 2 * 64) * 2 + 2 * ((32 + 64 + 64 + 64) * 64 + 4 * 64)
    assert ours > pygs > own  # each has other weights: the name chose the layer


def check_own_attention(printed: str) -> None:
    (best,) = numbers(printed, r"best 4 of .*: off attention by ([\d.e+-]+)")
    (by_name,) = numbers(printed, r"by its name: ([\d.e+-]+)")
    (everything,) = numbers(printed, r"above every degree: off attention by ([\d.e+-]+)")
    assert best > 1e-2
    assert by_name == 0
    assert everything < 1e-5


def check_own_relation(printed: str) -> None:
    (distance,) = numbers(printed, r"hears from ([\d.]+) cm away")
    assert 1 < distance < 100  # a person's width
    (moved,) = numbers(printed, r"queries move by ([\d.]+) when")
    assert moved > 0


def check_ablation(printed: str) -> None:
    rows = re.findall(r"^(default|GATv2) +1 +([\d.]+) +[+-][\d.]+ +[\d.]+x +([\d,]+)", printed, re.M)
    assert [label for label, _, _ in rows] == ["default", "GATv2"]
    assert all(5 < float(psnr) < 60 for _, psnr, _ in rows)  # dB
    assert rows[0][2] != rows[1][2]  # weights: two networks were trained


def check_any(printed: str) -> None:
    assert re.search(r"\d", printed), f"expected a number, found {printed!r}"


CHECKS: dict[str, Callable[[str], None]] = {
    "convs.py": check_convs,
    "own_conv.py": check_own_conv,
    "own_attention.py": check_own_attention,
    "own_relation.py": check_own_relation,
    "ablation.py": check_ablation,
}


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example(path: Path, tmp_path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < 60
    assert text.startswith('"""')
    assert "python " in text.split('"""')[1]  # the docstring says how it is run
    # The tree under test goes before an installed package; a thread each, for other tests run beside it.
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = python.run(path, cwd=tmp_path, env=env, forks=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    CHECKS.get(path.name, check_any)(ran.stdout)


def test_every_check_has_its_example() -> None:
    assert {"convs.py", "own_conv.py", "own_attention.py"} <= {path.name for path in EXAMPLES}
