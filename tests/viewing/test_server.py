"""The command: where its page is, how it ends, and one line for what is wrong."""

import importlib.util
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("viser")

from hgg_pyg.runtime import run_command
from hgg_pyg.types import UserError
from hgg_pyg.view import ViewConfig, main, open_page
from hgg_pyg.viewing.server import close_server, open_server, url_of
from tests import python
from tests.avatar.avatars import small_avatar


@pytest.fixture(scope="module")
def file(body, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("view") / "somebody.avatar"
    small_avatar(body).save(path)
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_the_command_serves_a_page_to_this_machine_alone_until_ctrl_c(file):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = python.start("-m", "hgg_pyg.view", file, "--port", "0", env=environment)
    while "\n" not in (line := process.stdout):
        assert process.poll() is None, process.stderr
        time.sleep(0.05)
    address = line.split()[0]
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert b"<html" in answer.read()
    process.send_signal(signal.SIGINT)
    done = process.finish(timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, line, "")


def test_a_server_frees_its_port():
    server = open_server("127.0.0.1", 0, "page")
    port = server.get_port()
    assert url_of(server) == f"http://127.0.0.1:{port}"
    close_server(server)
    again = open_server("127.0.0.1", port, "page")
    assert again.get_port() == port
    close_server(again)


def refused(config: ViewConfig) -> str:
    with pytest.raises(UserError) as error:
        open_page(config)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_addresses_that_cannot_be_had_are_one_line(file, taken):
    assert refused(ViewConfig(file, port=taken)) == (
        f"--port {taken}: expected a free port, found it in use by another program; --port 0 takes any"
    )
    expected = "--host: expected a name or an address of this machine, found 'no such host'"
    assert refused(ViewConfig(file, host="no such host")) == expected
    assert refused(ViewConfig(file, host="192.0.2.1")).startswith("--host 192.0.2.1: expected an address of this")


def test_without_viser_it_says_what_to_install(file, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "viser" else find(name))
    assert refused(ViewConfig(file)) == "expected viser, which shows the pages, found none: pip install viser"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.avatar"], "nowhere.avatar"),
        (["{file}", "--port", "70000"], "--port: expected at most 65,535, found 70000"),
        (["{file}", "--port", "http"], "port"),
        (["{file}", "--motion", "jump"], "motion jump: expected one of walk, wave, dance, turntable"),
        (["{file}", "--direct"], "--direct: expected it with the folder of a capture or a run, found"),
        (["{empty}", "--direct", "--run", "r"], "--direct: expected it without --run, found both"),
        (["{file}", "--image-size", "64"], "--image-size: expected it with the folder of a capture"),
        (["{file}", "--moton", "walk"], "--moton"),
        (["{broken}"], "broken.avatar"),
        (["{empty}"], "expected"),
        ([], "PATH"),
    ],
)
def test_wrong_input_is_one_line(arguments, said, file, tmp_path, monkeypatch, capsys):
    broken = tmp_path / "broken.avatar"
    broken.write_bytes(file.read_bytes()[:-100])
    (tmp_path / "empty").mkdir()
    names = {"file": file, "broken": broken, "empty": tmp_path / "empty"}
    port = [] if "--port" in arguments or not arguments else ["--port", "0"]  # somebody may be using the usual one
    monkeypatch.setattr("sys.argv", ["view.py", *(text.format(**names) for text in arguments), *port])
    with pytest.raises(SystemExit) as stop:
        run_command(ViewConfig, main)
    assert stop.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown
    assert shown.count("\n") == 1
