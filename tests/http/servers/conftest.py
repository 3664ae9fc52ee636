"""The servers, each started once for all checks on it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest

from tests import services
from tests.http.servers.kinds import KINDS
from tests.http.servers.loads import SPARSE_BYTES
from tests.http.servers.processes import Kind, RunningServer, running

DATABASE = "loom_servers"
Start = Callable[..., AbstractContextManager[RunningServer]]


@pytest.fixture(scope="session")
def site_database(postgres: services.Postgres) -> Iterator[dict[str, Any]]:
    """The site's database, with its one table, as a DATABASES entry."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            with psycopg.connect(postgres.dsn, dbname=DATABASE) as inside:
                make_table(inside)
            yield postgres.django(NAME=DATABASE)
        finally:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def make_table(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE site_note (id bigserial PRIMARY KEY, text text NOT NULL)")


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="session")
def start(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """`start(database, LOOM's keys)` runs a server of this kind for the length of a block."""

    def start_server(
        database: dict[str, Any], **loom: Any
    ) -> AbstractContextManager[RunningServer]:
        folder = tmp_path_factory.mktemp(kind.name)
        with (folder / "sparse").open("wb") as sparse:
            sparse.truncate(SPARSE_BYTES)
        name = f"{kind.name}-{uuid.uuid4().hex[:8]}"
        site = {"folder": str(folder), "name": name, "database": database, "loom": loom}
        return running(kind, site)

    return start_server


@pytest.fixture(scope="session")
def server(start: Start, site_database: dict[str, Any]) -> Iterator[RunningServer]:
    """A server whose site has all defaults."""
    with start(site_database) as started:
        yield started


@pytest.fixture(scope="session")
def strict_server(start: Start, site_database: dict[str, Any]) -> Iterator[RunningServer]:
    """A server whose site takes 1 MiB of body, for which it waits a second."""
    limits = {"MAX_BODY": 2**20, "BODY_TIMEOUT": 1.0, "BODY_RATE": 10**9}
    with start(site_database, **limits) as started:
        yield started


@pytest.fixture
def record() -> str:
    """A name for what one test's requests meet."""
    return uuid.uuid4().hex


@pytest.fixture
def queries(site_database: dict[str, Any], postgres: services.Postgres) -> Iterator[Any]:
    """`queries(server)`: what its connections run at the moment, by pg_stat_activity."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:

        def running_queries(server: RunningServer) -> list[str]:
            found = connection.execute(
                "SELECT query FROM pg_stat_activity"
                " WHERE application_name = %s AND state = 'active'",
                [server.name],
            )
            return [query for (query,) in found]

        yield running_queries


@pytest.fixture
def quiet(server: RunningServer) -> Iterator[None]:
    """Fail if the server writes anything during the test."""
    before = len(server.output())
    yield
    assert server.output()[before:] == ""
