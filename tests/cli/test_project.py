"""`loom serve` with a Django project on PostgreSQL: its pools begin and end with the server."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.cli.processes import Served, serve
from tests.db.faults import Admin
from tests.polling import eventually
from tests.services import Postgres, PrivatePostgres

APP = "tests.cli.project:application"
NAME = "loom serve in a test"
SEVEN = b"\r\n7\r\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    return Site(monkeypatch, tmp_path)


class Site:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch = monkeypatch
        self.folder = folder

    def serve(self, server: Postgres, *options: str) -> AbstractContextManager[Served]:
        given = {"application_name": NAME, "pool": {"min_size": 3}}
        entry = server.django(ENGINE="django_loom.db.postgresql", OPTIONS=given)
        self.monkeypatch.setenv("LOOM_DATABASE", json.dumps(entry))
        return serve(*options, app=APP)


def connections(postgres: Postgres) -> int:
    sql = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
    return len(Admin(postgres)(sql, NAME))


def test_the_pool_is_open_from_start_to_end(site: Site, postgres: Postgres) -> None:
    with site.serve(postgres) as served:
        assert connections(postgres) == 3
        assert SEVEN in served.get()
        assert connections(postgres) == 3
        assert served.stop() == 0
        eventually(lambda: connections(postgres) == 0)
    assert "Traceback" not in served.output
    assert "WARNING" not in served.output


def test_a_query_that_outlasts_the_grace_time_is_ended(site: Site, postgres: Postgres) -> None:
    with site.serve(postgres, "--grace", "0.1") as served:
        with served.connect(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"):
            served.wait_for("<slow began>")
            eventually(lambda: Admin(postgres).running("SELECT 1 FROM pg_sleep"))
            assert served.stop() == 0
        assert Admin(postgres).running("SELECT 1 FROM pg_sleep") == []
    assert "are in use still" not in served.output


def test_a_database_that_is_down_at_start(site: Site, own_postgres: PrivatePostgres) -> None:
    own_postgres.stop()
    with site.serve(own_postgres) as served:
        line = "Database 'default': 0 of 3 connections could be opened ("
        assert served.output.count(line) == 1
        assert served.get().startswith(b"HTTP/1.1 500 ")
        own_postgres.start()
        assert SEVEN in served.get()
        assert served.stop() == 0
