"""Loops, servers and tables for the tests."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import django
import pytest

from tests import services
from tests.loops import LOOPS, LoopRunner

POSTGRES_ALIASES = ["default", "other"]


def pytest_configure(config: pytest.Config) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.test.utils import setup_test_environment, teardown_test_environment

    setup_test_environment(debug=False)
    config.add_cleanup(teardown_test_environment)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, object, object]:
    """pytest-randomly shuffles the tests of each module; the modules keep their order.

    The slow ones, such as those of the browser, would else be the last of two processes.
    """
    place = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    result = yield
    items.sort(key=lambda item: place[item.path])
    return result


@pytest.fixture(autouse=True)
def no_unit_is_left() -> Iterator[None]:
    """Each test leaves its own thread in no unit of work, which would be that of all others."""
    yield
    from django_loom.bridge import unit_variable

    left = unit_variable.get()
    unit_variable.set(None)  # so that no other test fails for it
    assert left is None


@pytest.fixture(params=LOOPS)
def loop_runner(request: pytest.FixtureRequest) -> LoopRunner:
    """`loop_runner(function, *args)` or `loop_runner(coroutine)`, once for each kind of loop."""
    return LoopRunner(request.param)


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """The session's PostgreSQL server, from LOOM_TEST_POSTGRES or a private one."""
    with services.postgres() as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[services.PrivatePostgres]:
    """A server that the tests of one module may stop, restart and reconfigure."""
    with services.private_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_tables(postgres: services.Postgres) -> Iterator[None]:
    """The databases of the aliases `default` and `other`, with their tables."""
    from tests.databases import postgres_databases

    with postgres_databases(postgres, POSTGRES_ALIASES):
        yield


@pytest.fixture
def db_tables(postgres: services.Postgres, postgres_tables: None) -> Iterator[None]:
    """PostgreSQL's tables, which the test finds empty."""
    from tests.databases import empty_postgres

    yield
    empty_postgres(postgres, POSTGRES_ALIASES)


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of the alias `sqlite`, with its tables."""
    from tests.databases import sqlite_database

    path = tmp_path_factory.mktemp("sqlite") / "loom.sqlite3"
    sqlite_database(path, "sqlite")
    return path


@pytest.fixture
def sqlite_tables(sqlite_file: Path) -> Iterator[None]:
    """SQLite's tables, which the test finds empty."""
    from tests.databases import empty_sqlite

    yield
    empty_sqlite("sqlite")
