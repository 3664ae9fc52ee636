"""`loom serve --uds`: a Unix socket, for a proxy on the same machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from django_loom.cli.listeners import SocketFile, bind_unix
from tests.cli.processes import assert_refused, loom, serve, several
from tests.polling import eventually

OK = b"HTTP/1.1 200 OK\r\n"
APP = "tests.cli.app:application"


@pytest.fixture
def path() -> Iterator[Path]:
    """A short one: the system takes about 100 bytes."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "socket"


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@several
def test_it_serves_and_removes_its_socket(path: Path, options: list[str]) -> None:
    with serve(*options, path=path) as served:
        assert f"Serving {APP} on unix:{path}, Ctrl+C stops\n" in served.output
        assert permissions(path) == 0o666
        assert served.get().startswith(OK)
        assert served.stop() == 0
        assert not path.exists()
        assert served.events[-1] == "lifespan ended"
    assert "Traceback" not in served.output


def test_the_socket_is_gone_as_soon_as_it_stops(path: Path) -> None:
    half = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"
    with serve(path=path) as served, served.connect(half) as client:
        served.wait_for("<request began>")
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: not path.exists())
        client.sendall(b"cd")
        assert client.recv(65536).startswith(OK)
        assert served.process.wait() == 0


def test_an_application_that_does_not_start_leaves_no_socket(path: Path) -> None:
    assert loom("serve", "tests.cli.app:refused_start", "--uds", str(path)).returncode == 3
    assert not path.exists()


@several
def test_the_headers_of_a_proxy_count(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    database = {"ENGINE": "django_loom.db.sqlite3", "NAME": str(tmp_path / "database")}
    monkeypatch.setenv("LOOM_DATABASE", json.dumps(database))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    with serve(*options, app="tests.cli.project:application", path=path) as served:
        assert b'[false, "127.0.0.1"]' in served.get("/client")
        forged_and_real = "X-Forwarded-For: 192.0.2.9, 192.0.2.1"
        answer = served.get("/client", "X-Forwarded-Proto: https", forged_and_real)
        assert b'[true, "192.0.2.1"]' in answer


def test_a_socket_that_a_killed_server_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
    path.chmod(0o660)
    with serve(path=path) as served:
        assert served.get().startswith(OK)
        assert permissions(path) == 0o660


def refused(path: Path, reason: str) -> None:
    assert_refused(f"cannot listen on {path}: {reason}", "serve", APP, "--uds", str(path))


@pytest.mark.parametrize("backlog", [0, 10], ids=["full", "with room"])
def test_a_socket_in_use(path: Path, backlog: int) -> None:
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen(backlog)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        try:
            for client in clients:
                client.setblocking(False)
                client.connect_ex(str(path))
            refused(path, "Address already in use")
            assert path.exists()
        finally:
            for client in clients:
                client.close()


def test_a_server_that_still_starts_has_its_socket_in_use(path: Path) -> None:
    with bind_unix(str(path)), pytest.raises(OSError, match="in use"):
        bind_unix(str(path))


def test_another_file_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    refused(path, "there is a file that is not a socket")
    assert path.read_text() == "precious"


def test_places_where_there_can_be_none(path: Path) -> None:
    refused(path / "deeper", "No such file or directory")
    if sys.platform == "linux":
        refused(path.with_name("x" * 200), "AF_UNIX path too long")


@pytest.mark.parametrize("option", ["--host=127.0.0.1", "--port=8000"])
def test_a_host_or_port_as_well(path: Path, option: str) -> None:
    message = "--uds listens on a Unix socket only: leave --host and --port out"
    assert_refused(message, "serve", APP, "--uds", str(path), option)


def test_the_socket_of_another_server_is_not_removed(path: Path) -> None:
    with bind_unix(str(path)):
        file = SocketFile(str(path))
        os.rename(path, path.with_name("kept"))  # lest the next get the same inode
        with bind_unix(str(path)):
            file.remove()
            assert path.exists()
        path.unlink()
        file.remove()
