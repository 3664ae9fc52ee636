"""The experiment orm: its databases, the latency that is added, and whole runs on SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from django_loom.db.pool_options import PoolOptions
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.cli.main import lab
from django_loom.lab.exceptions import MissingPackage, UsageError
from django_loom.lab.experiments.experiment import Depth
from django_loom.lab.experiments.orm import points
from django_loom.lab.outcomes.outcome import Sample
from django_loom.lab.runs.orm_runs import orm_outcomes, table
from django_loom.lab.servers import databases as databases_module
from django_loom.lab.servers.databases import Database, database, further_away, parsed
from tests.lab.outcomes import load_result, outcome
from tests.services import Postgres

SMALL = Depth(clients=(2,), repeats=1, seconds=0.05)


@pytest.fixture
def no_private_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases_module, "PRIVATE", "no_such_package")


def table_names(postgres: Postgres) -> set[str]:
    with psycopg.connect(postgres.dsn) as connection:
        return {name for (name,) in connection.execute("SELECT tablename FROM pg_tables")}


def test_the_wait_of_a_page_is_that_of_its_queries() -> None:
    assert [point.wait for point in points(SMALL, "loom", 50.0)] == [0.2]
    assert [point.wait for point in points(SMALL, "loom")] == [0.0]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://me:p%40ss@db:6543/shop", ("shop", "me", "p@ss", "db", 6543)),
        (
            "postgresql://postgres:@/postgres?host=/tmp/x",
            ("postgres", "postgres", "", "/tmp/x", 5432),
        ),
        ("postgres://", ("postgres", "postgres", "", "127.0.0.1", 5432)),
    ],
)
def test_the_parts_of_a_url(url: str, expected: tuple[Any, ...]) -> None:
    found = parsed(url, "PostgreSQL")
    assert (found.name, found.user, found.password, found.host, found.port) == expected


def test_without_postgres_it_is_sqlite(no_private_postgres: None, tmp_path: Path) -> None:
    with database(None, tmp_path) as found:
        assert found.what.startswith("SQLite, as there is no --postgres")
        assert not found.has_latency
        assert found.django() == {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "db.sqlite3"),
        }


def test_no_latency_is_no_proxy() -> None:
    near = Database("it", "engine", "name", host="127.0.0.1", port=1)
    with further_away(near, 0) as reached:
        assert reached is near


def test_the_table_is_there_for_the_block_only(postgres: Postgres, tmp_path: Path) -> None:
    with table(parsed(postgres.dsn, "a test's"), tmp_path):
        assert "loom_lab_note" in table_names(postgres)
    assert "loom_lab_note" not in table_names(postgres)


def test_a_run_with_latency(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_loom.lab.runs.orm_runs.LATENCIES", (1.0,))
    (outcome,) = orm_outcomes(SMALL, ("threads", "asgi", "loom"), postgres.dsn)
    assert outcome.complete
    assert outcome.subject == "1 ms added"
    assert outcome.notes[-1] == "Database: PostgreSQL of --postgres; 1 ms added to each round trip."
    assert all(set(each.result.statuses) == {200} for each in outcome.samples)
    assert "loom_lab_note" not in table_names(postgres)


def test_without_the_driver_its_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(databases_module, "find_spec", lambda name: None)
    with (
        pytest.raises(MissingPackage, match=r"psycopg; .*'django-loom\[postgresql\]'"),
        database("postgres://127.0.0.1/shop", tmp_path),
    ):
        pass


def test_the_model_knows_how_many_connections_there_are() -> None:
    wide = Depth(clients=(10, 40, 400))
    near = Database("it", "engine", "name", host="127.0.0.1")
    samples = [
        Sample(point.server, point.x, point.clients, point.wait, load_result(1), point.at_once)
        for server in ("threads", "asgi", "loom")
        for point in points(wide, server, latency=50.0, pools=near.pools())
    ]
    figures = Figures(outcome({}, "orm", samples=samples))
    assert [each.expected for each in figures.of("loom")] == [50, 200, 200]
    assert [each.expected for each in figures.of("asgi")] == [50, 200, 200]


def test_a_pool_is_known_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Database("it", "engine", "db.sqlite3").pools() == {}
    near = Database("it", "engine", "name", host="127.0.0.1")
    assert near.pools() == {"asgi": 40, "loom": 40}
    monkeypatch.setattr(databases_module, "django_can_pool", lambda: False)
    assert near.pools() == {"loom": PoolOptions().max_size}
    assert near.django()["OPTIONS"] == {}


def test_a_run_on_sqlite_says_so(no_private_postgres: None) -> None:
    (outcome,) = orm_outcomes(SMALL, ("loom",), None)
    assert outcome.complete
    assert outcome.subject == "0 ms added"
    assert "No latency can be added to SQLite" in outcome.notes[-1]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://127.0.0.1/shop", "--postgres: expected a URL such as postgres://"),
        ("postgres://127.0.0.1:99999/shop", "--postgres: expected a URL such as postgres://"),
        ("postgres://[::1/shop", "--postgres: expected a URL such as postgres://"),
        (
            "postgres://127.0.0.1:1/shop",
            "cannot create the table of the site: django.db.utils.",
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_one_clear_message(
    url: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_loom.lab.cli.main.signal.signal", lambda *args: None)
    command = ["run", "orm", "--postgres", url, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(lab, command, catch_exceptions=False)
    assert result.exit_code == 2
    assert message in result.stderr
    with pytest.raises(UsageError):
        next(orm_outcomes(SMALL, ("loom",), url))
