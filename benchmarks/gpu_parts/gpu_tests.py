"""The tests that need a CUDA device, a process per file, several side by side. Nothing is timed."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.gpu_parts.setting import Setting, Sheet

_RENDERING = "tests/render/"
_TOY = ("tests/attention/test_triton.py", "-k", "duplicates or repeat")  # in Triton's interpreter
_SIDE_BY_SIDE = 4
_PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "default", "--durations=0")


def run(setting: Setting) -> None:
    """Run them; a row for each test, written file by file."""
    if not Path("tests").is_dir():
        raise SystemExit("no folder tests here: run it from a checkout of the repository")
    sheet = Sheet(setting)
    rendering = setting.part == "render_tests"
    chosen = _TOY if setting.toy and not rendering else ("-m", "gpu")
    if setting.toy:
        files = [_RENDERING + "test_behaviour.py" if rendering else _TOY[0]]
    else:
        files = [file for file in _files_with_gpu_tests() if file.startswith(_RENDERING) == rendering]
    reports = setting.work / "junit"
    reports.mkdir(parents=True, exist_ok=True)

    def run_file(numbered: tuple[int, str]) -> list[dict[str, object]]:
        number, file = numbered
        report = reports / f"{setting.part}_{number}.xml"
        report.unlink(missing_ok=True)
        options = [*chosen[1:], file] if chosen is _TOY else [*chosen, file]
        done = subprocess.run([*_PYTEST, f"--junitxml={report}", *options], capture_output=True, text=True)
        print(file, done.stdout, done.stderr, sep="\n", flush=True)
        if not report.is_file():
            said = (done.stdout.strip().splitlines() or ["nothing said"])[-1]
            return [{"file": file, "test": "", "outcome": f"ended with code {done.returncode}", "said": said[:200]}]
        return [{"file": file, **row} for row in _rows(report)]

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for rows in pool.map(run_file, enumerate(files)):
            sheet.add(rows)


def _files_with_gpu_tests() -> list[str]:
    done = subprocess.run([*_PYTEST, "-m", "gpu", "--collect-only", "-q", "tests"], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="\n", flush=True)
    found = (line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line)
    return list(dict.fromkeys(file.replace("\\", "/") for file in found))


def _rows(report: Path) -> Iterator[dict[str, object]]:
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        outcome = "passed" if wrong is None else {"failure": "failed"}.get(wrong.tag, wrong.tag)
        said = "" if wrong is None else " ".join((wrong.get("message") or "").split())[:200]
        yield {"test": case.get("name"), "outcome": outcome, "seconds": float(case.get("time") or 0), "said": said}
