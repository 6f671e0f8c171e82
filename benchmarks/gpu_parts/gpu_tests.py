"""The tests that need a CUDA device, some dozens a process and several processes side by side. Nothing is timed."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.gpu_parts.setting import Setting, Sheet

_RENDERING, _KERNELS = "tests/render/", "tests/attention/test_triton.py"
_TOY = f"{_KERNELS}::test_duplicates_count_as_often_as_they_occur"  # runs in Triton's interpreter
_SIDE_BY_SIDE, _AT_ONCE = 4, 80
_PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "default", "--durations=0")


def run(setting: Setting) -> None:
    """Run them; a row for each test, written process by process."""
    if not Path("tests").is_dir():
        raise SystemExit("no folder tests here: run it from a checkout of the repository")
    sheet = Sheet(setting)
    rendering = setting.part == "render_tests"
    if rendering and setting.toy:
        sheet.add([{"file": _RENDERING, "outcome": "skipped", "said": "needs a CUDA device"}])
        return
    tests = [_TOY] if setting.toy else sorted(t for t in _gpu_tests() if t.startswith(_RENDERING) == rendering)
    if not tests:
        raise SystemExit("pytest collected no test that needs a CUDA device")
    tests.sort(key=_value)
    reports = setting.work / "junit"
    reports.mkdir(parents=True, exist_ok=True)
    chunks = [tests[i : i + _AT_ONCE] for i in range(0, len(tests), _AT_ONCE)]

    def run_some(numbered: tuple[int, Sequence[str]]) -> list[dict[str, object]]:
        number, some = numbered
        report = reports / f"{setting.part}_{number}.xml"
        report.unlink(missing_ok=True)
        done = subprocess.run([*_PYTEST, f"--junitxml={report}", *some], capture_output=True, text=True)
        print(done.stdout, done.stderr, sep="\n", flush=True)
        if not report.is_file():  # a process that died
            said = (done.stdout.strip().splitlines() or ["nothing said"])[-1]
            return [{"file": some[0], "outcome": f"ended with code {done.returncode}", "said": said[:200]}]
        return list(_rows(report))

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for rows in pool.map(run_some, enumerate(chunks)):
            sheet.add(rows)


def _gpu_tests() -> list[str]:
    done = subprocess.run([*_PYTEST, "-m", "gpu", "--collect-only", "tests"], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="\n", flush=True)
    return [line for line in done.stdout.splitlines() if "::" in line and line.startswith("tests")]


def _value(test: str) -> int:
    """Our kernels' own tests first, then those that call them, then those of the other variants."""
    return 0 if test.startswith(_KERNELS) else 1 if "fused" in test else 2


def _rows(report: Path) -> Iterator[dict[str, object]]:
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        outcome = "passed" if wrong is None else {"failure": "failed"}.get(wrong.tag, wrong.tag)
        said = "" if wrong is None else " ".join((wrong.get("message") or "").split())[:200]
        name, seconds = case.get("name"), float(case.get("time") or 0)
        yield {"file": case.get("classname"), "test": name, "outcome": outcome, "seconds": seconds, "said": said}
