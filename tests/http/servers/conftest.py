"""The servers, each started once for all checks on it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache, partial
from pathlib import Path
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
    return partial(start_server, tmp_path_factory.mktemp(kind.name), kind)


def start_server(
    folder: Path, kind: Kind, database: dict[str, Any], **loom: Any
) -> AbstractContextManager[RunningServer]:
    name = f"{kind.name}-{uuid.uuid4().hex[:8]}"
    own = folder / name
    own.mkdir()
    with (own / "sparse").open("wb") as sparse:
        sparse.truncate(SPARSE_BYTES)
    site = {"folder": str(own), "name": name, "database": database, "loom": loom}
    return running(kind, site)


@pytest.fixture(scope="session")
def kept_servers(
    site_database: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RunningServer]]:
    """`kept_servers(kind, LOOM's keys)`: a server that stays for all modules that want it.

    pytest-xdist gives out one module after the other. What is made for each kind in turn would be
    made again in each of them.
    """
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as block:

        @cache
        def kept(kind: str, **loom: Any) -> RunningServer:
            return block.enter_context(start_server(folder, KINDS[kind], site_database, **loom))

        yield kept


@pytest.fixture
def server(kept_servers: Callable[..., RunningServer], kind: Kind) -> RunningServer:
    """A server whose site has all defaults."""
    return kept_servers(kind.name)


@pytest.fixture
def strict_server(kept_servers: Callable[..., RunningServer], kind: Kind) -> RunningServer:
    """A server whose site takes 1 MiB of body, for which it waits a second."""
    return kept_servers(kind.name, MAX_BODY=2**20, BODY_TIMEOUT=1.0, BODY_RATE=10**9)


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
