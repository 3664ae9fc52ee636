"""`loom serve` as a process: it serves, stops in order, and says in a line what is wrong."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_loom.lab.processes.child import listens
from tests.cli.processes import (
    ROOT,
    Served,
    assert_refused,
    loom,
    read_all,
    serve,
    started,
)
from tests.polling import eventually

HALF = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as server:
        yield server


def begin_request(served: Served) -> socket.socket:
    client = served.connect(HALF)
    served.wait_for("<request began>")
    return client


# Serving and stopping.


def test_it_serves_and_stops(served: Served) -> None:
    assert served.get().startswith(b"HTTP/1.1 200 OK\r\n")
    assert served.stop() == 0
    assert served.events == ["lifespan began", "request began", "request ended", "lifespan ended"]
    assert "GET /" not in served.output, "the access log is off"
    assert "Traceback" not in served.output


def test_the_interrupt_key_stops_it_too(served: Served) -> None:
    assert served.stop(signal.SIGINT) == 0
    assert served.events == ["lifespan began", "lifespan ended"]
    assert "Traceback" not in served.output


def test_the_access_log_can_be_had() -> None:
    with serve("--access-log") as served:
        served.get()
        served.wait_for('"GET / HTTP/1.1" 200')


@pytest.mark.parametrize("option", ["--head-timeout=0.1", "--keep-alive=0"])
def test_a_connection_that_is_not_used_is_closed(option: str) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" if "alive" in option else b""
    with serve(option) as served, served.connect(request) as client:
        assert read_all(client).startswith(b"HTTP/1.1 200" if request else b"")


def test_a_running_request_finishes_before_the_lifespan_ends(served: Served) -> None:
    with begin_request(served) as client:
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("Shutting down")
        eventually(lambda: not listens(served.port))
        client.sendall(b"cd")
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nabcd")
    assert served.process.wait() == 0
    assert served.events[-2:] == ["request ended", "lifespan ended"]


def test_an_idle_connection_does_not_hold_up_the_end(served: Served) -> None:
    with served.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as client, served.connect() as fresh:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert served.stop() == 0
        assert read_all(client) == read_all(fresh) == b""


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]], ids=["one process", "workers"])
def test_after_the_grace_time_requests_are_cancelled_and_end(workers: list[str]) -> None:
    with serve("--grace", "0.1", *workers) as served, begin_request(served) as client:
        assert served.stop() == 0
        assert read_all(client).startswith(b"HTTP/1.1 500 ")
        ends = served.events[served.events.index("request cancelled") :]
        assert "lifespan ended" in ends


def test_a_thread_that_blocks_does_not_keep_the_process() -> None:
    with serve("--grace", "0") as served:
        with served.connect(b"GET /thread HTTP/1.1\r\nHost: x\r\n\r\n"):
            served.wait_for("<thread began>")
            assert served.stop() == 0
        assert served.events[-1] == "lifespan ended"
        forced = r"^Ending by force, for this still runs 5 s after the shutdown: \w+-?\w*_0"
        assert re.search(forced, served.output, re.MULTILINE)


def test_the_second_signal_ends_it_at_once(served: Served) -> None:
    with begin_request(served):
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("Shutting down")
        assert served.stop() == -signal.SIGTERM
    assert "lifespan ended" not in served.events


# Several processes.


def test_workers_serve_and_stop() -> None:
    with serve("--workers", "2") as served:
        eventually(lambda: served.output.count("startup complete") == 2)
        assert served.get().startswith(b"HTTP/1.1 200 OK\r\n")
        assert served.stop() == 0
        assert served.events.count("lifespan ended") == 2


def test_the_interrupt_key_stops_workers_in_order() -> None:
    with serve("--workers", "2") as served:
        eventually(lambda: served.output.count("startup complete") == 2)
        with begin_request(served) as client:
            os.killpg(served.process.pid, signal.SIGINT)  # as a terminal does
            served.wait_for("Waiting for child process")
            client.sendall(b"cd")
            assert read_all(client).endswith(b"\r\n\r\nabcd")
        assert served.process.wait() == 0
        assert served.events.count("lifespan ended") == 2


def test_the_second_signal_ends_workers_at_once() -> None:
    with serve("--workers", "2") as served, begin_request(served) as client:
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("Waiting for child process")
        assert served.stop() == -signal.SIGTERM
        assert read_all(client) == b""


def test_workers_that_cannot_start_end_the_server() -> None:
    failed = loom("serve", "tests.cli.app:nothing", "--port", "0", "--workers", "2")
    assert failed.returncode == 3
    assert 'Attribute "nothing" not found' in failed.stderr


def test_it_starts_again_when_a_file_changes(tmp_path: Path) -> None:
    source = tmp_path / "reloaded.py"
    source.write_text("from tests.cli.app import application\n")
    arguments = ("serve", "reloaded:application", "--port", "0", "--reload")
    with started(*arguments, cwd=tmp_path, PYTHONPATH=str(ROOT)) as process:
        served = Served(process)

        def change_until_seen() -> bool:
            # It may not have looked at the file before the first change.
            os.utime(source, (time.time(), source.stat().st_mtime + 1))
            return "Reloading" in served.output

        served.wait_for("startup complete")
        eventually(change_until_seen)
        eventually(lambda: served.events.count("lifespan began") > 1)
        assert served.events[:3] == ["lifespan began", "lifespan ended", "lifespan began"]
        assert served.stop() == 0
        assert served.events[-1] == "lifespan ended"


# What is wrong, in a line.


@pytest.mark.parametrize("name", ["nowhere", "nowhere.asgi", "tests.nowhere", "tests.cli.app.x"])
@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--reload"]], ids=str)
def test_a_module_that_is_not_there(name: str, options: list[str]) -> None:
    message = f"there is no module {name!r} in {ROOT}, nor on the Python path"
    assert_refused(message, "serve", f"{name}:application", *options)


@pytest.mark.parametrize("app", ["tests.cli.app", "tests/cli/app.py:application", ".app:x", "a:"])
def test_an_application_that_is_written_wrongly(app: str) -> None:
    message = f"{app!r} must be written as module:attribute, as in mysite.asgi:application"
    assert_refused(message, "serve", app)


def test_an_attribute_that_is_not_there() -> None:
    message = "the module 'tests.cli.app' has no 'nothing'"
    assert_refused(message, "serve", "tests.cli.app:nothing")


def test_an_error_in_the_module_is_shown_whole(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nowhere\n")
    result = loom("serve", "broken:application", cwd=tmp_path)
    assert result.returncode == 1
    assert "ModuleNotFoundError: No module named 'nowhere'" in result.stderr


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = f"cannot listen on 127.0.0.1:{port}: Address already in use"
        assert_refused(message, "serve", "tests.cli.app:application", "--port", str(port))


def test_a_host_that_is_not_ours() -> None:
    message = "cannot listen on 192.0.2.1:8000: Cannot assign requested address"
    if sys.platform == "darwin":
        message = "cannot listen on 192.0.2.1:8000: Can't assign requested address"
    assert_refused(message, "serve", "tests.cli.app:application", "--host", "192.0.2.1")


def test_reload_and_workers() -> None:
    message = "--reload serves with one process: leave --workers out"
    assert_refused(message, "serve", "tests.cli.app:application", "--reload", "--workers", "2")


@pytest.mark.parametrize("package", ["uvicorn", "httptools", "click"])
def test_a_package_that_is_not_installed(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import django_loom.cli as c; c.main()"
    call = [sys.executable, "-c", code, "serve", "tests.cli.app:application"]
    result = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 2
    assert package in result.stderr
    assert "pip install 'django-loom[server]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_application_that_knows_no_lifespan() -> None:
    result = loom("serve", "tests.cli.app:http_only", "--port", "0")
    assert result.returncode == 3
    assert (
        "tests.cli.app:http_only does not speak the lifespan protocol (only http, not lifespan)."
        in result.stderr
    )
    assert "django_loom.asgi.get_asgi_application()" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("app", "text"), [("broken_start", "RuntimeError: no such pool"), ("refused_start", "no lic")]
)
def test_an_application_that_fails_to_start(app: str, text: str) -> None:
    result = loom("serve", f"tests.cli.app:{app}", "--port", "0")
    assert result.returncode == 3
    assert text in result.stderr
    assert "does not speak" not in result.stderr


def test_the_command_itself_sets_no_django_up() -> None:
    code = (
        "import django_loom.cli.commands, django_loom.cli.server;"
        "from django.conf import settings; print(settings.configured)"
    )
    call = [sys.executable, "-c", code]
    environment = {key: value for key, value in os.environ.items() if "DJANGO" not in key}
    result = subprocess.run(call, capture_output=True, text=True, check=True, env=environment)
    assert result.stdout == "False\n"


def test_help() -> None:
    result = loom("--help")
    assert result.returncode == 0
    assert "serve" in result.stdout
    assert "lab" in result.stdout


def test_the_log_level_can_be_set() -> None:
    arguments = ["tests.cli.app:refused_start", "--port", "0", "--log-level", "error"]
    lines = loom("serve", *arguments).stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("ERROR:") for line in lines)
