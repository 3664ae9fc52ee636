"""`python -m demo` comes up with all that belongs to it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.launch.ports import port_number
from tests.demo.launched import ROOT, Launched, launched, taken_port
from tests.lab.processes import is_running
from tests.polling import eventually

# The processes beside the launcher: the server and the two services.
CHILDREN = 3

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder, which the first launch finds empty and the others do not."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def demo(data: Path) -> Iterator[Launched]:
    with taken_port() as taken, launched(data, "--port", str(taken)) as demo:
        assert len(demo.urls) == 1, demo.output
        assert f"Port {taken} is taken" in demo.output
        assert demo.port != taken
        yield demo


def test_it_tells_what_it_does_and_one_address_and_serves_and_stops(demo: Launched) -> None:
    for text in ("seed data", "SQLite", "services", "loom-demo"):
        assert text in demo.output
    assert len(demo.children) == CHILDREN

    status, page = demo.get("/")
    assert status == 200
    assert "Two courses for one" in page, "promotions has answered"
    assert "Silas Marner" in page, "recommendations has answered"

    assert demo.stop(signal.SIGINT) == 0
    assert not any(is_running(child) for child in demo.children)
    assert demo.output.endswith("\nStopped.\n"), demo.output
    assert "Traceback" not in demo.output


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_it_too(demo: Launched, sig: signal.Signals) -> None:
    assert demo.stop(sig) == 0
    assert not any(is_running(child) for child in demo.children)


def test_what_it_started_ends_even_when_it_is_killed(demo: Launched) -> None:
    assert demo.stop(signal.SIGKILL) == -signal.SIGKILL
    assert len(demo.children) == CHILDREN
    eventually(lambda: not any(is_running(child) for child in demo.children))


def test_a_server_that_ends_ends_the_demo_with_an_error(demo: Launched) -> None:
    server = demo.children[-1]  # the last to be started
    assert is_running(server)
    os.kill(server, signal.SIGKILL)
    assert demo.wait() == 1
    assert "The server ended with exit code -9\n" in demo.output
    assert not any(is_running(child) for child in demo.children)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://ann:secret@db/academy", "DATABASE_URL must be postgres://"),
        ("postgres://ann:secret@db:port/academy", "DATABASE_URL must be postgres://"),
        ("postgres://ann:secret@127.0.0.1:1/academy", "OperationalError: connection failed"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_line(
    tmp_path: Path, url: str, said: str
) -> None:
    with launched(tmp_path, DATABASE_URL=url) as demo:
        assert demo.wait() == 1
    assert f"The demo cannot be prepared: {said}" in demo.output
    assert "Traceback" not in demo.output
    assert "secret" not in demo.output
    assert not demo.children


def test_a_data_folder_that_cannot_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with launched(file) as demo:
        assert demo.wait() == 1
    assert f"The demo cannot be prepared: The data folder {file} cannot be used" in demo.output
    assert "Traceback" not in demo.output


def test_demos_that_begin_at_once_prepare_the_same_data_one_after_the_other(
    tmp_path: Path,
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", "from demo.launch.preparation import prepare; prepare()"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment | {"LOOM_DEMO_DATA": str(tmp_path)},
        )
        for _ in range(2)
    ]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]


@pytest.mark.parametrize("text", ["0", "65536", "-1", "x", ""])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="a number of 1 to 65535"):
        port_number(text)
