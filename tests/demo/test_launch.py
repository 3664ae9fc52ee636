"""`python -m demo` comes up with all that belongs to it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.launched import PREFERRED, Launched, launched, runs, taken
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
    with taken(PREFERRED), launched(data) as demo:
        assert len(demo.urls) == 1, demo.output
        yield demo


def test_it_tells_what_it_does_and_one_address_and_serves_and_stops(demo: Launched) -> None:
    for text in ("seed data", "SQLite", "services", "loom-demo", "Port 8000 is taken"):
        assert text in demo.output
    assert demo.port != PREFERRED
    assert len(demo.children) == CHILDREN

    status, page = demo.get("/")
    assert status == 200
    assert "Two courses for one" in page, "promotions has answered"
    assert "Silas Marner" in page, "recommendations has answered"

    assert demo.stop(signal.SIGINT) == 0
    assert not any(runs(child) for child in demo.children)
    assert demo.output.endswith("\nStopped.\n"), demo.output
    assert "Traceback" not in demo.output


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_it_too(demo: Launched, sig: signal.Signals) -> None:
    assert demo.stop(sig) == 0
    assert not any(runs(child) for child in demo.children)


def test_what_it_started_ends_even_when_it_is_killed(demo: Launched) -> None:
    assert demo.stop(signal.SIGKILL) == -signal.SIGKILL
    assert len(demo.children) == CHILDREN
    eventually(lambda: not any(runs(child) for child in demo.children))


def test_a_server_that_ends_ends_the_demo_with_an_error(demo: Launched) -> None:
    server = demo.children[-1]  # the last to be started
    assert runs(server)
    os.kill(server, signal.SIGKILL)
    assert demo.wait() == 1
    assert "The server has ended with exit code -9." in demo.output
    assert not any(runs(child) for child in demo.children)


def test_a_database_that_cannot_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    with launched(tmp_path, DATABASE_URL="mysql://ann:secret@db/academy") as demo:
        assert demo.wait() == 1
    assert "The demo cannot be prepared: ImproperlyConfigured: DATABASE_URL" in demo.output
    assert "Traceback" not in demo.output
    assert not demo.children
