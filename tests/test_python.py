"""A process forked from the server is one like any: compared with that of a fresh interpreter."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import python

SAYS_ALL = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), sys.path[0], __name__, sys.stdin.read()]))
print("on stderr", file=sys.stderr)
"""


@pytest.fixture(params=[False, True], ids=["forked", "fresh"])
def fresh(request: pytest.FixtureRequest) -> bool:
    return request.param


def test_a_process_has_arguments_a_folder_and_an_environment(tmp_path: Path) -> None:
    (tmp_path / "own_module.py").write_text(SAYS_ALL)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "script.py").write_text(SAYS_ALL)
    environment = {"PATH": "/bin", "PYTHONPATH": str(tmp_path / "package"), "LC_CTYPE": "C.UTF-8"}
    for words in (("-c", SAYS_ALL), ("-m", "own_module"), ("-m", "script"), (tmp_path / "package" / "script.py",)):
        forked, fresh = (
            python.run(*words, "a b", "-c", cwd=tmp_path, env=environment, fresh=fresh) for fresh in (False, True)
        )
        assert (forked.returncode, forked.stdout, forked.stderr) == (0, fresh.stdout, "on stderr\n"), words


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('a word')", 1, "a word"),
        ("raise ValueError('wrong')", 1, "ValueError: wrong"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("import atexit, sys; atexit.register(lambda: print('last', file=sys.stderr))", 0, "last"),
        ("import sys, threading, time\n"
         "threading.Thread(target=lambda: (time.sleep(0.1), print('waited for', file=sys.stderr))).start()",
         0, "waited for"),
        ("import warnings; warnings.warn('not shown')", 0, ""),
    ],
)  # fmt: skip
def test_it_ends_as_python_ends(fresh: bool, program: str, code: int, said: str) -> None:
    done = python.run("-c", program, fresh=fresh)
    assert done.returncode == code
    assert (done.stderr.strip().splitlines() or [""])[-1] == said


def test_it_can_be_waited_for_and_told_to_end(fresh: bool) -> None:
    process = python.start("-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)", fresh=fresh)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    until = time.monotonic() + 30
    while not process.stdout and time.monotonic() < until:
        time.sleep(0.01)
    assert process.stdout == f"{process.pid}\n"
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == process.poll() == -signal.SIGTERM
    process.send_signal(signal.SIGTERM)  # to no one
    with pytest.raises(subprocess.TimeoutExpired):
        python.run("-c", "import time; time.sleep(60)", timeout=0.1, fresh=fresh)


def test_it_may_lead_a_group(fresh: bool) -> None:
    program = "import os, signal; print(os.getpgid(0) == os.getpid(), flush=True); os.killpg(0, signal.SIGTERM)"
    done = python.run("-c", program, new_session=True, fresh=fresh)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "True\n")


def test_forks_are_of_one_thread_and_share_no_chance() -> None:
    program = "import os, random; from numpy.random import rand\n"
    program += "print(len(os.listdir('/proc/self/task')), random.random(), rand())"
    said = [python.run("-c", program).stdout.split() for _ in range(2)]
    assert [threads for threads, *_ in said] == ["1", "1"]
    assert not {*said[0][1:]} & {*said[1][1:]}


OF_ITS_OWN = """
import os, signal, subprocess, sys
from multiprocessing import get_context
import module

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, print)  # for this process alone
    spawn = get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=module.wait, args=(ready,))
    process.start()
    ready.wait()
    process.terminate()
    process.join()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print(process.exitcode)
    with get_context("fork").Pool(1) as forked, get_context("spawn").Pool(1) as spawned:
        print(*[pool.apply(module.loaded) for pool in (forked, spawned)])
    for end in ("", "sys.exit(3)", "sys.exit('a word')", "raise ValueError", "os.kill(os.getpid(), 9)"):
        command = [sys.executable, "-W", "ignore", "-m", "module", end]
        done = subprocess.run(command, cwd="/", env={**os.environ, "OWN": "x"}, capture_output=True, text=True)
        print(done.returncode, done.stdout.rstrip(), "|", done.stderr.rstrip()[-10:])
"""
MODULE = """
import os, sys, time

def loaded():
    return "hgg_pyg.train" in sys.modules

def wait(ready):
    ready.set()
    time.sleep(60)

if __name__ == "__main__":
    print(loaded(), os.getcwd(), os.environ["OWN"], len(sys.argv), flush=True)
    exec(sys.argv[1])
"""
ENDS = [(0, ""), (3, ""), (1, "a word"), (1, "ValueError"), (-9, "")]


@pytest.mark.parametrize("forks", [False, True])
def test_processes_of_its_own_are_fresh_or_forks(tmp_path: Path, forks: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(OF_ITS_OWN)
    (tmp_path / "module.py").write_text(MODULE)
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(tmp_path)}
    done = python.run(script, env=environment, forks=forks)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "-15",
        f"True {forks}",
        *(f"{code} {forks} / x 2 | {end}" for code, end in ENDS),
    ]


def test_orders_come_from_many_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        ends = pool.map(lambda number: python.run("-c", "import sys; sys.exit(int(sys.argv[1]))", number), range(12))
        assert [end.returncode for end in ends] == list(range(12))
