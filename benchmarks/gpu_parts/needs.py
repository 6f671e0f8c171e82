"""What a bare CUDA machine lacks: installed from files, or built for its card while parts that can do without run.

Nothing here needs more than the standard library, because what the rest needs may be what is missing. Everything goes
into a folder of its own; the environment that Python came with stays as it is.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def work_folder(out: Path) -> Path:
    """Where everything goes that is not kept: beside the folder of the tables."""
    out = out.absolute()
    return out.with_name(f"{out.name}_work")


def packages_folder(work: Path) -> Path:
    """Where packages are installed; the processes of the parts find them there."""
    return work / "packages"


def install_given(arguments: Sequence[str]) -> None:
    """Install the wheels of `--wheels DIR` that are not installed yet, before anything that needs them is imported.

    What is wrong with the command line is for its parser to say, later; a wheel that does not install is said here.
    """
    wheels, out = (_value(arguments, name) for name in ("--wheels", "--out"))
    if out is None or not Path(out).absolute().name or "-h" in arguments or "--help" in arguments:
        return
    target = packages_folder(work_folder(Path(out)))
    sys.path.insert(0, str(target))
    importlib.invalidate_caches()
    if wheels is None or not Path(wheels).is_dir():
        return
    missing = [str(path) for path in sorted(Path(wheels).glob("*.whl")) if not installed(path.name.split("-")[0])]
    for path in missing:  # one by one: a wheel for another Python stops none but itself
        command = [*PIP, "install", "--quiet", "--no-index", "--no-deps", "--target", str(target), path]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"not installed: {path}: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}", file=sys.stderr)
    importlib.invalidate_caches()


def installed(package: str) -> bool:
    """Whether a distribution of this name is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def importable(module: str, work: Path) -> bool:
    """Whether a module can be imported: asked of another process, which may crash."""
    command = [sys.executable, "-W", "ignore", "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, env=environment(work)).returncode == 0


def environment(work: Path) -> dict[str, str]:
    """Of a process that imports this code, and what is installed beside it."""
    path = [str(packages_folder(work)), os.getcwd(), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Plan:
    """One command, or several joined by `&&`, that runs beside the parts."""

    name: str
    what: str
    command: str
    environment: Mapping[str, str]
    """all of it"""


def build_plans(work: Path, capability: str | None, wheels: Path | None, cores: int) -> list[Plan]:
    """How to build what is missing for one card, each with half of the cores so that they do not starve the parts.

    Args:
        work: built wheels are kept in its folder `wheels`.
        capability: of the card, such as "9.0"; None: there is none, and nothing is built.
        wheels: folder in which sources (.tar.gz, .zip) are looked for; without any, pip asks its index.
        cores: of the machine.
    """
    if capability is None:
        return []
    jobs = max(1, cores // 2)
    card = {**environment(work), "TORCH_CUDA_ARCH_LIST": capability, "MAX_JOBS": str(jobs)}
    plans = []
    for name in ("torch_scatter", "torch_cluster"):
        if importable(name, work):
            continue
        source = _source(wheels, name) if wheels else None
        where = [str(source), "--no-index"] if source else [name, "--retries", "1", "--timeout", "10"]
        parallel, built = work / f"{name}.cfg", work / "wheels" / name
        parallel.parent.mkdir(parents=True, exist_ok=True)
        parallel.write_text(f"[build_ext]\nparallel={jobs}\n")
        command = shlex.join([*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", str(built), *where])
        install = [*PIP, "install", "--no-index", "--no-deps", "--target", str(packages_folder(work))]
        command += f" && {shlex.join(install)} {shlex.quote(str(built))}/*.whl"
        plans.append(
            Plan(name, "built from source", command, card | {"FORCE_CUDA": "1", "DIST_EXTRA_CONFIG": str(parallel)})
        )
    if importlib.util.find_spec("gsplat"):
        compile_kernels = shlex.join([sys.executable, "-c", "import gsplat.cuda._backend"])
        plans.append(Plan("gsplat", "its CUDA kernels, compiled if they are not yet", compile_kernels, card))
    return plans


class Job:
    """A plan under way, at low priority, its output in a log."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self.name, self.what, self.log, self._stopped = plan.name, plan.what, log, False
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                ["nice", "-n", "10", "sh", "-c", plan.command],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=plan.environment,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def outcome(self) -> str:
        """ "done", "under way", "stopped", or how it failed."""
        if self.running or self._stopped:
            return "stopped" if self._stopped else "under way"
        return "done" if self._process.returncode == 0 else f"failed: {last_line(self.log)}"

    def stop(self) -> None:
        """End it, if it is under way, and what it started."""
        if self.running:
            self._stopped = True
            end_group(self._process)


def end_group(process: subprocess.Popen, grace_s: float = 3.0) -> None:
    """End a process that leads a group, and the group: asked first, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def last_line(log: Path) -> str:
    """The last line of a log, shortened; "nothing said" of an empty one."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing said"


def _source(wheels: Path, name: str) -> Path | None:
    pattern = re.compile(rf"{re.escape(name).replace('_', '[-_]')}-.*\.(tar\.gz|zip)$", re.I)
    return next((path for path in sorted(wheels.iterdir()) if pattern.match(path.name)), None)


def _value(arguments: Iterable[str], option: str) -> str | None:
    """The value of an option among arguments: `--name value` or `--name=value`."""
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    return words[words.index(option) + 1] if option in words[:-1] else None
