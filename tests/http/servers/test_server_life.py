"""The database pools over the life of a server."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg

from tests import services
from tests.http.servers.conftest import DATABASE, Start, make_table
from tests.polling import eventually


def test_server_starts_without_its_database_and_works_when_that_is_up(
    start: Start, own_postgres: services.PrivatePostgres
) -> None:
    with psycopg.connect(own_postgres.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with psycopg.connect(own_postgres.dsn, dbname=DATABASE) as inside:
        make_table(inside)
    own_postgres.stop()
    try:
        with start(own_postgres.django(NAME=DATABASE)) as server:
            if "lifespan" not in server.kind.cannot:
                for alias in ("default", "single"):
                    words = f"WARNING django_loom: Database '{alias}': 0 of 1 connections"
                    assert server.output().count(words) == 1
                assert server.output().count("\n") == 2
            assert server.get("/notes").status == 500
            own_postgres.start()
            eventually(lambda: server.get("/notes").status == 200)
    finally:
        with suppress(RuntimeError):  # it runs
            own_postgres.start()


def test_stop_closes_the_pools_and_says_nothing(
    start: Start, site_database: dict[str, Any], postgres: services.Postgres
) -> None:
    with (
        start(site_database) as server,
        psycopg.connect(postgres.dsn, autocommit=True) as watching,
    ):
        assert server.get("/notes").status == 200
        assert _connections(watching, server.name) >= 1
        code = server.stop()
        assert code == server.kind.exit_code
        eventually(lambda: _connections(watching, server.name) == 0)
        assert server.output() == ""


def _connections(watching: psycopg.Connection, name: str) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    row: Any = watching.execute(query, [name]).fetchone()
    count: int = row[0]
    return count
