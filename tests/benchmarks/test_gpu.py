"""`python -m benchmarks.gpu`: its dry run; what remains where a part fails; which goals are reached."""

import csv
import os
import signal
import sys
import threading
import time
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch_cluster import knn

from benchmarks.gpu import GpuBenchmark, main
from benchmarks.gpu_parts import needs, runner
from benchmarks.gpu_parts.goals import judge, read_tables
from benchmarks.gpu_parts.needs import Job, Plan, build_plans, environment, install_given
from benchmarks.gpu_parts.parts import PARTS, Part
from benchmarks.gpu_parts.runner import Outcome, run_parts
from benchmarks.gpu_parts.setting import Setting, Sheet
from benchmarks.gpu_parts.stand_ins import brute_force_knn
from hgg_pyg.types import UserError
from tests import python

ROOT = Path(__file__).parents[2]
COMMAND = ("-m", "benchmarks.gpu")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dry_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of each part's dry run: two commands side by side, which share the parts out."""
    root, names = tmp_path_factory.mktemp("gpu"), list(PARTS)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # in the processes of parts
    folders = [root / "some", root / "others"]
    halves = [names[:3], names[3:]]
    wanted = ("--dry-run", "--minutes", 60, "--parts")  # a part's share of the minutes is far more than it takes
    started = [
        python.start(*COMMAND, "--out", folder, *wanted, *half, cwd=ROOT, env=one_thread, forks=True)
        for folder, half in zip(folders, halves, strict=True)
    ]
    for process in started:
        done = process.finish(timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
    return {name: folder for folder, half in zip(folders, halves, strict=True) for name in half}


@pytest.mark.slow
def test_a_dry_run_fills_every_table(dry_runs: dict[str, Path]) -> None:
    for name, folder in dry_runs.items():
        rows = read(folder / f"{name}.csv")
        assert rows, name
        assert all(row["dry_run"] == "True" and row["date"] and row["device"] == "cpu" for row in rows), name
        assert {row.get("status", "right") for row in rows} <= {"", "right", "another operation"}, name
        assert f"| {name} | {PARTS[name].what} | done |" in (folder / "summary.md").read_text("utf-8")
    interpreted = [row for row in read(dry_runs["attention"] / "attention.csv") if row["name"] == "Triton, interpreted"]
    assert {(row["form"], row["storage"]) for row in interpreted} == {
        ("given", "float32"), ("folded", "float32"), ("folded", "bfloat16")}  # fmt: skip
    assert all(row["outcome"] == "passed" for row in read(dry_runs["tests"] / "tests.csv"))
    assert {row["stage"] for row in read(dry_runs["avatar"] / "avatar.csv")} == {
        "per-frame network", "graph", "network", "images to avatar"}  # fmt: skip
    assert (dry_runs["layers"] / "layers.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_dry_run_judges_nothing(dry_runs: dict[str, Path]) -> None:
    for folder in set(dry_runs.values()):
        goals = read(folder / "summary.csv")
        assert len(goals) == len(judge({}))
        assert {goal["verdict"] for goal in goals} == {"not measured"}


def layer(name: str, ms: float | str) -> dict[str, str]:
    return {"kind": "intra", "chief": "True", "name": name, "forward_backward_median_ms_default": str(ms)}


def test_goals_are_judged_beside_their_peers() -> None:
    def attention(name: str, storage: str, forward: float, both: float) -> dict[str, str]:
        return {
            "chief": "True", "form": "folded", "storage": storage, "name": name,
            "forward_median_ms_default": str(forward), "forward_backward_median_ms_default": str(both),
        }  # fmt: skip

    def posing(name: str, fps: float, size: int = 512, frames: int = 1) -> dict[str, str]:
        return {"table": "posing", "name": name, "frames_per_second": str(fps), "size": str(size),
                "frames": str(frames)}  # fmt: skip

    parity = {"table": "parity", "error_p999": "1e-6", "share_off_by_1e-4": "2e-4", "gradient_error": "3e-4"}
    tables = {
        "layers": [
            layer("scatter", 13), layer("fold + fused", 1), layer("fold + fused, bf16", 1.1), layer("anemoi", ""),
            {**layer("anemoi", 99), "chief": "False"},
        ],
        "attention": [
            attention("copy", "float32", 1, 2), attention("fused", "float32", 1.5, 5),
            attention("fused, CUDA graph", "float32", 1.6, 4), attention("fused", "bfloat16", 1, 1),
        ],
        "render": [
            parity, {**parity, "share_off_by_1e-4": "1e-5"}, posing("draw", 9000), posing("pose and draw", 900),
            posing("pose, CUDA graph, and draw", 999), posing("pose and draw", 5000, size=256),
            posing("eight poses at once, and draw", 1200, frames=8),
        ],
        "avatar": [{"backbone": "surface", "stage": "images to avatar", "median_ms": "99"},
                   {"backbone": "surface", "stage": "graph", "median_ms": "1"}],
        "training_step": [{"preset": "paper", "precision": "no", "median_ms": "1"},
                          {"preset": "paper", "precision": "bf16", "median_ms": "51"}],
    }  # fmt: skip
    assert [(bar.found, bar.verdict) for bar in judge(tables)] == [
        (13.0, "reached"), (None, "not measured"),
        (pytest.approx(13 / 1.1), "missed"), (None, "not measured"),
        (1.5, "reached"), (2.0, "reached"), (None, "not measured"), (None, "not measured"),
        (1e-6, "reached"), (2e-4, "missed"), (3e-4, "reached"),
        (999.0, "missed"), (1200.0, "reached"),
        (99.0, "reached"), (None, "not measured"),
        (None, "not measured"), (51.0, "missed"),
    ]  # fmt: skip


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    out = tmp_path / "out"
    out.mkdir()
    return Setting("", out, tmp_path / "work", "cpu", toy=True, seconds=0, threads=1)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What parts do: programs by name, with the setting as their argument."""
    found: dict[str, str] = {}
    monkeypatch.setattr(runner, "_command", lambda s: [sys.executable, "-c", found[s.part], s.to_json()])
    monkeypatch.setattr(runner, "LEAST_S", 0.1)
    return found


WRITE = "import pathlib, json, sys; s = json.loads(sys.argv[1]); p = pathlib.Path(s['out']) / (s['part'] + '.csv')\n"
WRITE += "p.write_text('x\\n1\\n')\n"


def run(setting: Setting, shares: dict[str, float], seconds: float, jobs: tuple[Job, ...] = ()) -> list[Outcome]:
    parts = {name: Part("", f"what {name} does", share, tuple(job.name for job in jobs) if name == "after" else ())
             for name, share in shares.items()}  # fmt: skip
    outcomes: list[Outcome] = []
    run_parts(parts, setting, jobs, time.monotonic() + seconds, outcomes.append)
    return outcomes


def test_parts_that_fail_leave_the_others(setting: Setting, programs: dict[str, str]) -> None:
    programs |= {
        "first": WRITE, "crash": WRITE + "raise RuntimeError('CUDA error: illegal access')", "killed":
        WRITE + "import os; os.abort()", "slow": WRITE + "import time; time.sleep(60)", "last": WRITE,
    }  # fmt: skip
    outcomes = run(setting, {"first": 4, "crash": 4, "killed": 4, "slow": 0.5, "last": 4}, 20)
    ends = {outcome.part: outcome.outcome for outcome in outcomes}
    assert ends["first"] == ends["last"] == "done"
    assert ends["crash"] == "ended with code 1: RuntimeError: CUDA error: illegal access"
    assert ends["killed"].startswith("ended with code -6")
    assert ends["slow"].startswith("over its limit of ")
    assert set(read_tables(setting.out, programs)) == set(programs)


def test_what_a_part_starts_ends_with_it(setting: Setting, programs: dict[str, str], tmp_path: Path) -> None:
    note = tmp_path / "child"
    program = (
        "import subprocess, sys, time\nc = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    programs["slow"] = f"{program}\nopen({str(note)!r}, 'w').write(str(c.pid))\ntime.sleep(60)"
    (outcome,) = run(setting, {"slow": 1}, 6)
    assert outcome.outcome == "over its limit of 6 s"
    until = time.monotonic() + 10  # what was told to end takes its time on a busy machine
    while _is_running(note.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_running(note.read_text())


def _is_running(number: str) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{number}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_part_is_started_without_time(setting: Setting, programs: dict[str, str]) -> None:
    programs |= {"one": "import time; time.sleep(60)", "none": WRITE}
    outcomes = run(setting, {"one": 1, "none": 0}, 1)
    assert [outcome.outcome for outcome in outcomes] == ["over its limit of 1 s", "no time left"]


@pytest.mark.parametrize(
    ("numbers", "ends"),
    [
        ([signal.SIGINT], ["interrupted", "done"]),
        ([signal.SIGINT, signal.SIGINT], ["interrupted", "interrupted"]),
        ([signal.SIGTERM], ["interrupted"]),
    ],
)
def test_one_interrupt_ends_a_part_and_two_or_a_termination_all(
    setting: Setting, programs: dict[str, str], numbers: list[int], ends: list[str]
) -> None:
    slow = WRITE + "import time; time.sleep(60)"
    programs |= {"slow": slow, "last": slow if len(numbers) > 1 else WRITE, "never": WRITE}
    stops = ends[-1] == "interrupted"
    parts = {name: Part("", "", 1) for name in programs if stops or name != "never"}
    outcomes: list[Outcome] = []

    def interrupt() -> None:
        for part, number in zip(("slow", "last"), numbers, strict=False):
            while not (setting.out / f"{part}.csv").is_file():
                time.sleep(0.05)
            os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt) if stops else nullcontext():
        run_parts(parts, setting, (), time.monotonic() + 20, outcomes.append)
    assert [outcome.outcome for outcome in outcomes] == ends


def test_parts_wait_for_what_is_built(setting: Setting, programs: dict[str, str], tmp_path: Path) -> None:
    programs |= {"after": WRITE, "before": WRITE}
    log = tmp_path / "job.txt"
    job = Job(Plan("job", "sleeps", "sleep 1 && echo wrong && false", dict(os.environ)), log)
    outcomes = run(setting, {"after": 1, "before": 1}, 30, (job,))
    assert [outcome.part for outcome in outcomes] == ["before", "after"]
    assert job.outcome == "failed: wrong"


def test_a_job_that_does_not_end_is_not_waited_for_for_ever(
    setting: Setting, programs: dict[str, str], tmp_path: Path
) -> None:
    programs["after"] = WRITE
    job = Job(Plan("job", "sleeps", "sleep 60", dict(os.environ)), tmp_path / "job.txt")
    (outcome,) = run(setting, {"after": 1}, 4, (job,))
    assert outcome.outcome == "done"
    assert job.outcome == "under way"
    job.stop()
    assert job.outcome == "stopped"


def test_a_sheet_is_whole_after_every_row(setting: Setting) -> None:
    sheet = Sheet(replace(setting, part="some"), more=3)
    for count in (1, 2):
        sheet.add([{"x": count}])
        rows = read(setting.out / "some.csv")
        assert [(row["x"], row["more"]) for row in rows] == [(str(i + 1), "3") for i in range(count)]
        assert rows[0]["torch"] == torch.__version__
    assert Setting.from_json(setting.to_json()) == setting


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "x", "--minutes", "0"], "minutes: expected more than 0, found 0"),
        (["--out", "/"], "out: expected a folder with a name, found /"),
        (["--out", f"{__file__}/x", "--dry-run"], "x: expected a folder that can be written (Not a directory)"),
        (["--out", "x", "--parts", "teste"], "parts: expected some of tests, attention"),
        (["--out", "x", "--wheels", "nowhere"], "nowhere: expected a folder of wheels, found none"),
        (["--minutes", "8"], "--out"),
        pytest.param(
            ["--out", "x"], "no CUDA device is usable here; --dry-run does the same",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_a_line(options: list[str], said: str, tmp_path: Path) -> None:
    done = python.run(*COMMAND, *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_wrong_configuration_is_refused_in_python() -> None:
    with pytest.raises(ValueError, match="minutes: expected a number from 0"):
        GpuBenchmark(Path("x"), minutes=float("nan"))


def test_minutes_that_are_enough_for_no_part_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"minutes: expected enough for one part at least, found 0\.001"):
        main(GpuBenchmark(tmp_path / "out", minutes=0.001, dry_run=True, parts=("tests", "layers")))
    assert (tmp_path / "out" / "summary.md").read_text().count("no time left") == 2


@pytest.mark.parametrize("k", [1, 3])
def test_the_stand_in_finds_what_torch_cluster_finds(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=generator), torch.randn(31, 3, generator=generator)
    batch_x, batch_y = torch.arange(2).repeat_interleave(20), (torch.arange(31) > 11).long()
    wanted = knn(x, y, k, batch_x, batch_y, batch_size=2)
    assert torch.equal(brute_force_knn(x, y, k, batch_x, batch_y, 2), wanted)


WITHOUT = """
import importlib.machinery, sys
import torch
lacking, real = {"torch_scatter", "torch_cluster", "pyg_lib"}, importlib.machinery.PathFinder
class Finder(real):
    @classmethod
    def find_spec(cls, name, *args, **kwargs):
        return None if name.partition(".")[0] in lacking else real.find_spec(name, *args, **kwargs)
sys.meta_path[sys.meta_path.index(real)] = Finder

import hgg_pyg
from benchmarks.gpu_parts.stand_ins import use_stand_ins
from graphs import nearest_vertices
from hgg_pyg.attention import attend, variants
assert "needs torch_scatter" in variants()["scatter"].missing("cpu")
given, edges = torch.randn(3, 4, 2, 8), torch.tensor([[0, 1, 3], [2, 2, 0]])
expected = attend(*given.double(), edges, backend="reference")
torch.testing.assert_close(attend(*given, edges, backend="fused").double(), expected, atol=1e-5, rtol=0)
assert use_stand_ins() == "all distances, no torch_cluster"
assert nearest_vertices(torch.tensor([[[0.9, 0, 0]]]), torch.eye(3)[None]).item() == 0
import benchmarks.layer_problem, benchmarks.gpu_parts.avatar, benchmarks.gpu_parts.training
"""


def test_everything_runs_without_torch_scatter_and_torch_cluster() -> None:
    done = python.run("-c", WITHOUT, cwd=ROOT, fresh=True)
    assert done.returncode == 0, done.stderr


def test_wheels_that_are_missing_are_installed_beside_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    wheels, out = tmp_path / "wheels", tmp_path / "out"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "hgg_missing-1.0-py3-none-any.whl", "w") as wheel:
        about = "hgg_missing-1.0.dist-info"
        wheel.writestr("hgg_missing.py", "WORD = 'there'")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: hgg_missing\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", f"hgg_missing.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    (wheels / "broken-1.0-py3-none-any.whl").write_text("no archive")
    (wheels / "torch-9.9-py3-none-any.whl").write_text("never opened: torch is installed")
    monkeypatch.setattr(sys, "path", list(sys.path))
    install_given(["--wheels", str(wheels), f"--out={out}"])
    program = "import hgg_missing; print(hgg_missing.WORD)"
    done = python.run("-c", program, env=environment(tmp_path / "out_work"), fresh=True)
    assert done.stdout == "there\n", done.stderr
    said = capfd.readouterr().err
    assert said.count("not installed") == 1
    assert "broken-1.0" in said


def test_what_is_missing_is_built_for_one_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "importable", lambda module, work: False)
    (tmp_path / "torch_scatter-2.1.2.tar.gz").touch()
    plans = {plan.name: plan for plan in build_plans(tmp_path / "work", "9.0", tmp_path, cores=16)}
    assert set(plans) == {"torch_scatter", "torch_cluster", "gsplat"}
    for name, plan in plans.items():
        assert plan.environment["TORCH_CUDA_ARCH_LIST"] == "9.0"
        assert plan.environment["MAX_JOBS"] == "8"
        if name != "gsplat":
            assert plan.environment["FORCE_CUDA"] == "1"
            assert "parallel=8" in Path(plan.environment["DIST_EXTRA_CONFIG"]).read_text()
            assert "--no-build-isolation" in plan.command
    assert f"{tmp_path}/torch_scatter-2.1.2.tar.gz --no-index" in plans["torch_scatter"].command
    assert build_plans(tmp_path / "work", None, None, cores=16) == []
