"""Loops, servers and tables for the tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import pytest

from tests import services
from tests.groups import has_long_tests, markers_of
from tests.loops import LOOPS, LoopRunner

if TYPE_CHECKING:
    from tests.databases import PostgresTables

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

    First those of the bridge, for they count the calls that are alive in their process; then those
    that take long, so that none of them is left to one process at the end.
    """
    paths = dict.fromkeys(item.path for item in sorted(items, key=_turn))
    place = {path: number for number, path in enumerate(paths)}
    result = yield
    items.sort(key=lambda item: place[item.path])
    return result


def _turn(item: pytest.Item) -> int:
    if item.nodeid.startswith("tests/bridge/"):
        return 0
    return 1 if has_long_tests(item.nodeid) else 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "loop_runner" in metafunc.fixturenames:
        one_loop = metafunc.definition.get_closest_marker("one_loop")
        metafunc.parametrize("loop_runner", LOOPS[:1] if one_loop else LOOPS, indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    case = getattr(item, "callspec", None)
    loop = case.params.get("loop_runner", LOOPS[0]) if case else LOOPS[0]
    for marker in markers_of(item.nodeid, loop):
        item.add_marker(marker)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.scheduling import GatheredScheduling

    return GatheredScheduling(config, log)


@pytest.fixture(autouse=True, scope="module")
def frozen_past() -> None:
    """Collections pass over what was there before the module's tests: modules, and all tests.

    Many tests make a full collection, and most of its time were those.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_unit_is_left() -> Iterator[None]:
    """Each test leaves its own thread in no unit of work, which would be that of all others."""
    yield
    from django_loom.bridge import unit_variable

    left = unit_variable.get()
    unit_variable.set(None)  # so that no other test fails for it
    assert left is None


@pytest.fixture
def loop_runner(request: pytest.FixtureRequest) -> LoopRunner:
    """`loop_runner(function, *args)` or `loop_runner(coroutine)`, once for each kind of loop.

    Marked `one_loop`, a test runs on asyncio's own only.
    """
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
def postgres_tables(postgres: services.Postgres) -> Iterator[PostgresTables]:
    """The databases of the aliases `default` and `other`, with their tables."""
    from tests.databases import PostgresTables, postgres_databases

    with (
        postgres_databases(postgres, POSTGRES_ALIASES),
        closing(PostgresTables(postgres, POSTGRES_ALIASES)) as tables,
    ):
        yield tables


@pytest.fixture
def db_tables(postgres_tables: PostgresTables) -> Iterator[None]:
    """PostgreSQL's tables, which the test finds empty, and no connection of its own thread."""
    from django.db import connections

    connections.close_all()  # a test before may have left one, and some count those in use
    yield
    postgres_tables.empty()


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
