"""By whatever way code changes an SQLite session, it is noted; what Django does is not."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, models, transaction
from django.db.backends.signals import connection_created

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db import registry
from django_loom.db.sqlite3.session import READING_PRAGMAS, changes_session
from tests.db.support import aask, answer_of_sqlite, ask, database, in_use, pinned
from tests.loops import LoopRunner
from tests.testapp.models import Author, Book

# What is noted of a statement, in the thread of its driver.
pytestmark = [pytest.mark.usefixtures("sqlite_tables"), pytest.mark.one_loop]


@pytest.fixture(autouse=True)
def no_lease_is_left() -> Iterator[None]:
    yield
    connections["sqlite"].close()
    assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)


def execute_raw(statement: str) -> None:
    driver().execute(statement)


def execute_on_a_raw_cursor(statement: str) -> None:
    driver().cursor().execute(statement)


def execute_on_a_cursors_connection(statement: str) -> None:
    with connections["sqlite"].cursor() as cursor:
        cursor.connection.execute(statement)


def execute_script(statement: str) -> None:
    with connections["sqlite"].cursor() as cursor:
        cursor.executescript(f"SELECT 1; {statement}")


def execute_raw_script(statement: str) -> None:
    driver().executescript(statement)


def driver(using: str = "sqlite") -> Any:
    connections[using].ensure_connection()
    return connections[using].connection


async def in_thread(function: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(function)


async def on_loop(function: Callable[[], Any]) -> Any:
    return await run_sync(function)


both = pytest.mark.parametrize("run", [on_loop, in_thread])


@both
@pytest.mark.parametrize(
    "way",
    [
        execute_raw,
        execute_on_a_raw_cursor,
        execute_on_a_cursors_connection,
        execute_script,
        execute_raw_script,
    ],
)
def test_a_statement_is_seen_whatever_way_it_goes(
    loop_runner: LoopRunner, run: Callable[..., Any], way: Callable[[str], None]
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run(partial(way, "PRAGMA query_only = 1"))
            assert (in_use("sqlite"), pinned("sqlite")) == (1, 1)
            assert await answer_of_sqlite("PRAGMA query_only") == 1
        assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)
        assert await answer_of_sqlite("PRAGMA query_only") == 0

    loop_runner(main)


@pytest.mark.parametrize("way", [execute_raw, execute_on_a_raw_cursor])
def test_what_only_reads_pins_nothing_whatever_way_it_goes(
    loop_runner: LoopRunner, way: Callable[[str], None]
) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(way, "PRAGMA table_info(testapp_author)")
            assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)

    loop_runner(main)


def test_pragmas_that_only_read_are_functions_of_sqlite_with_an_argument() -> None:
    connection = sqlite3.connect(":memory:")
    for name in READING_PRAGMAS:
        columns = connection.execute(f"PRAGMA table_xinfo(pragma_{name})").fetchall()
        assert "arg" in [column[1] for column in columns], name
    connection.close()


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("CREATE TABLE t (temp REAL)", False),
        ("CREATE TABLE temperature (x)", False),
        ("CREATE INDEX i ON t (x)", False),
        ("CREATE UNIQUE INDEX temp.i ON t (x)", True),
        ("CREATE TRIGGER [temp].t AFTER INSERT ON a BEGIN SELECT 1; END", True),
        ("DETACH beside", True),
        ("EXPLAIN /* a */ QUERY -- b\n PLAN DETACH beside", True),
        ("PRAGMA user_version = 3", True),  # in doubt
        ("PRAGMA optimize", False),
        ("PRAGMA", True),  # in doubt
        ('PRAGMA "a/*".query_only = "*/"', True),
        ("/* PRAGMA query_only = 1", False),
        ("SELECT attach FROM t", False),
        ("UPDATE t SET pragma = 1", False),
        ("", False),
    ],
)
def test_what_a_statement_says(statement: str, changes: bool) -> None:
    assert changes_session(statement) is changes


def test_a_pragma_that_the_driver_refuses_is_seen(loop_runner: LoopRunner) -> None:
    """SQLite does some while they are prepared."""

    def change() -> None:
        with pytest.raises(sqlite3.ProgrammingError):
            driver().executemany("PRAGMA cache_size = 77", [()])

    async def main() -> None:
        with unit_of_work():
            await run_sync(change)
            assert pinned("sqlite") == 1
            assert await answer_of_sqlite("PRAGMA cache_size") == 77
        assert await answer_of_sqlite("PRAGMA cache_size") != 77

    loop_runner(main)


# What code does to the driver's object.

calls: list[Any] = []


class Sum:
    def step(self, value: Any) -> None: ...

    inverse = step

    def finalize(self) -> str:
        return "another's"

    value = finalize


def collate(one: str, other: str) -> int:
    return 0


def first(sql: str, raw: Any) -> Any:
    return raw.execute(sql).fetchone()[0]


def is_called(raw: Any) -> bool:
    calls.clear()
    raw.execute("SELECT count(*) FROM testapp_author").fetchone()
    return bool(calls)


def note_call(*args: Any) -> int:
    calls.append(args)
    return 0  # to allow it, and to go on


def another_database() -> bytes:
    other = sqlite3.connect(":memory:")
    other.execute("PRAGMA user_version = 77")
    content: bytes = other.serialize()
    other.close()
    return content


class OwnConnection(sqlite3.Connection):
    """A class of the user's, with a method that nobody knows."""

    def prepare_report(self) -> None:
        self.execute("PRAGMA cache_size = 77")


# What changes the driver's connection, and what tells of it.
CHANGES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "row_factory": (
        lambda raw: setattr(raw, "row_factory", lambda cursor, row: ["another's"]),
        partial(first, "SELECT 1"),
    ),
    "text_factory": (
        lambda raw: setattr(raw, "text_factory", bytes),
        partial(first, "SELECT 'a'"),
    ),
    "isolation_level": (
        lambda raw: setattr(raw, "isolation_level", "IMMEDIATE"),
        lambda raw: raw.isolation_level,
    ),
    "function": (
        lambda raw: raw.create_function("lower", 1, lambda value: "another's"),
        partial(first, "SELECT lower('A')"),
    ),
    "aggregate": (
        lambda raw: raw.create_aggregate("sum", 1, Sum),
        partial(first, "SELECT sum(1)"),
    ),
    "window function": (
        lambda raw: raw.create_window_function("sum", 1, Sum),
        partial(first, "SELECT sum(1) OVER ()"),
    ),
    "collation": (
        lambda raw: raw.create_collation("rtrim", collate),
        partial(first, "SELECT 'a' = 'b' COLLATE rtrim"),
    ),
    "authorizer": (lambda raw: raw.set_authorizer(note_call), is_called),
    "trace": (lambda raw: raw.set_trace_callback(note_call), is_called),
    "progress": (lambda raw: raw.set_progress_handler(note_call, 1), is_called),
    "limit": (
        lambda raw: raw.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, 77),
        lambda raw: raw.getlimit(sqlite3.SQLITE_LIMIT_COLUMN),
    ),
    "deserialize": (
        lambda raw: raw.deserialize(another_database()),
        partial(first, "PRAGMA user_version"),
    ),
    "own": (lambda raw: raw.prepare_report(), partial(first, "PRAGMA cache_size")),
}
if sys.version_info >= (3, 12):
    CHANGES["config"] = (
        lambda raw: raw.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False),
        lambda raw: raw.getconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER),
    )
    CHANGES["autocommit"] = (
        lambda raw: setattr(raw, "autocommit", True),
        lambda raw: raw.autocommit,
    )


@pytest.fixture
def own() -> Iterator[None]:
    """The alias `sqlite`, opened with a class of the user's."""
    options = connections["sqlite"].settings_dict["OPTIONS"]
    registry.close("sqlite")
    options["factory"] = OwnConnection
    yield
    registry.close("sqlite")
    del options["factory"]


@both
@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("change", "look"), CHANGES.values(), ids=list(CHANGES))
def test_a_change_of_the_drivers_object_holds_for_the_unit_and_nobody_after_it(
    loop_runner: LoopRunner,
    run: Callable[..., Any],
    change: Callable[[Any], Any],
    look: Callable[[Any], Any],
) -> None:
    async def main() -> None:
        before = await run_sync(lambda: look(driver()))
        assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)  # to look changes nothing
        with unit_of_work():
            await run(lambda: change(driver()))
            assert (in_use("sqlite"), pinned("sqlite")) == (1, 1)
            assert await run_sync(lambda: look(driver())) != before
        assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)
        assert await run_sync(lambda: look(driver())) == before
        calls.clear()

    loop_runner(main)


def test_an_open_blob_is_the_units(loop_runner: LoopRunner) -> None:
    def blob(pk: int) -> bytes:
        data: bytes = driver().blobopen("testapp_author", "name", pk, readonly=True).read()
        return data

    async def main() -> None:
        author = await Author.objects.using("sqlite").acreate(name="Ann")
        with unit_of_work():
            assert await run_sync(blob, author.pk) == b"Ann"
            assert pinned("sqlite") == 1

    loop_runner(main)


def test_what_only_looks_at_the_drivers_object_pins_nothing(loop_runner: LoopRunner) -> None:
    def look() -> None:
        raw = driver()
        assert raw.text_factory is str
        assert raw.row_factory is raw.isolation_level is None
        with pytest.raises(raw.OperationalError):
            raw.execute("SELECT nothing")
        raw.getlimit(sqlite3.SQLITE_LIMIT_COLUMN)
        raw.serialize()
        raw.backup(beside)
        raw.interrupt()
        raw.commit()
        raw.rollback()
        assert not raw.in_transaction

    beside = sqlite3.connect(":memory:", check_same_thread=False)

    async def main() -> None:
        with unit_of_work():
            await run_sync(look)
            assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)

    loop_runner(main)
    beside.close()


def test_what_code_puts_back_is_what_it_found(loop_runner: LoopRunner) -> None:
    """It may be callable, and is no method: the driver calls it in its thread."""

    def put_back() -> None:
        raw = driver()
        raw.row_factory = sqlite3.Row
        for name in ("row_factory", "text_factory"):
            setattr(raw, name, getattr(raw, name))
        assert raw.execute("SELECT 'a' AS name").fetchone()["name"] == "a"

    loop_runner(run_sync, put_back)


def test_a_row_factory_of_a_cursor_is_the_cursors(loop_runner: LoopRunner) -> None:
    def ask_for_row() -> Any:
        with connections["sqlite"].cursor() as cursor:
            cursor.cursor.row_factory = sqlite3.Row
            assert cursor.row_factory is sqlite3.Row
            return cursor.execute("SELECT 1 AS one").fetchone()["one"]

    async def main() -> None:
        with unit_of_work():
            assert await run_sync(ask_for_row) == 1
            assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)

    loop_runner(main)


def test_rows_of_the_drivers_own_execute_are_read_in_its_thread(loop_runner: LoopRunner) -> None:
    """A statement that is half read would keep its lock beyond the wait."""

    def half_read() -> Any:
        rows = driver().execute("SELECT 1 UNION SELECT 2")
        assert next(iter(rows)) == (1,)
        await_(asyncio.sleep(0))
        return rows.fetchall()

    assert loop_runner(run_sync, half_read) == [(2,)]


def test_a_script_runs_on_the_connection_that_its_code_has_then(loop_runner: LoopRunner) -> None:
    def script() -> None:
        with connections["sqlite"].cursor() as cursor:
            cursor.execute("SELECT 1")
            await_(asyncio.sleep(0))  # the connection goes back
            assert in_use("sqlite") == 0
            cursor.executescript("PRAGMA query_only = 1")
            assert (in_use("sqlite"), pinned("sqlite")) == (1, 1)

    async def main() -> None:
        with unit_of_work():
            await run_sync(script)
            assert await answer_of_sqlite("PRAGMA query_only") == 1
        assert await answer_of_sqlite("PRAGMA query_only") == 0

    loop_runner(main)


# What Django does itself.


def test_receivers_of_connection_created_make_the_session_that_others_get(
    loop_runner: LoopRunner,
) -> None:
    def receiver(**kwargs: Any) -> None:
        wrapper = kwargs["connection"]
        with wrapper.cursor() as cursor:
            cursor.execute("PRAGMA cache_size = 77")
        wrapper.connection.create_function("theirs", 0, lambda: "theirs")

    async def main() -> None:
        for _ in range(2):
            with unit_of_work():
                assert await aask("SELECT theirs()", using="sqlite") == "theirs"
                assert await aask("PRAGMA cache_size", using="sqlite") == 77
                assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)

    registry.close("sqlite")
    connection_created.connect(receiver)
    try:
        loop_runner(main)
    finally:
        connection_created.disconnect(receiver)
        registry.close("sqlite")


def test_autocommit_that_is_on_again_pins_nothing(loop_runner: LoopRunner) -> None:
    def write() -> None:
        transaction.set_autocommit(False, using="sqlite")
        Author.objects.using("sqlite").create(name="Ann")
        transaction.commit(using="sqlite")
        transaction.set_autocommit(True, using="sqlite")

    async def main() -> None:
        with unit_of_work():
            await run_sync(write)
            assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)
        assert await Author.objects.using("sqlite").acount() == 1

    loop_runner(main)


def test_introspection_pins_nothing(loop_runner: LoopRunner) -> None:
    def look() -> None:
        connection = connections["sqlite"]
        tables = [Author._meta.db_table, Book._meta.db_table]
        with connection.cursor() as cursor:
            for table in tables:
                connection.introspection.get_table_description(cursor, table)
                connection.introspection.get_constraints(cursor, table)
                connection.introspection.get_relations(cursor, table)
                connection.introspection.get_primary_key_columns(cursor, table)
                connection.introspection.get_sequences(cursor, table)
        connection.check_constraints(tables)
        connection.check_constraints()
        written = io.StringIO()
        call_command("inspectdb", database="sqlite", stdout=written)
        assert "class TestappAuthor" in written.getvalue()

    async def main() -> None:
        with unit_of_work():
            await run_sync(look)
            assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)

    loop_runner(main)


def test_the_schema_editor_works_on_one_connection(loop_runner: LoopRunner) -> None:
    """It lets foreign keys go unchecked meanwhile."""

    class Table(models.Model):
        class Meta:
            app_label = "testapp"

    def make_and_drop() -> None:
        with connections["sqlite"].schema_editor() as editor:
            editor.create_model(Table)
            editor.delete_model(Table)

    async def main() -> None:
        with unit_of_work():
            await run_sync(make_and_drop)
            assert await answer_of_sqlite("PRAGMA foreign_keys") == 1
        assert (in_use("sqlite"), pinned("sqlite")) == (0, 0)
        assert await answer_of_sqlite("PRAGMA foreign_keys") == 1

    try:
        loop_runner(main)
    finally:
        del Table._meta.apps.all_models["testapp"]["table"]


# In memory a connection is its database, and is not closed.


def test_a_database_in_memory_is_kept_and_made_clean(loop_runner: LoopRunner) -> None:
    names = ["row_factory", "text_factory", "isolation_level", "authorizer", "trace", "progress"]

    def change(raw: Any) -> None:
        for name in names:
            CHANGES[name][0](raw)
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute("PRAGMA query_only = ON")

    def state() -> list[Any]:
        raw = driver("memory")
        raw.execute("INSERT INTO kept VALUES ('a')")
        calls.clear()
        rows = raw.execute("SELECT n FROM kept").fetchall()
        keys = ask("PRAGMA foreign_keys", using="memory")
        return [raw.isolation_level, raw.in_transaction, set(rows), keys, calls[:]]

    async def main() -> None:
        await run_sync(lambda: driver("memory").execute("CREATE TABLE kept (n)"))
        before = await run_sync(state)
        with unit_of_work():
            await run_sync(lambda: change(driver("memory")))
            assert django_loom.pool("memory").statistics().pinned == 1
        assert await run_sync(state) == before == [None, False, {("a",)}, 1, []]

    with database("memory", ENGINE="django_loom.db.sqlite3", NAME=":memory:"):
        loop_runner(main)
