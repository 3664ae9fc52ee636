"""An engine that fails to answer costs its connection, and never a place in a pool."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import copy_context
from copy import deepcopy
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error, connections, transaction
from django.db.backends.signals import connection_created

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import unit_of_work
from django_loom.db import registry, serving, storage
from django_loom.db.postgresql.base import PostgreSQLEngine
from django_loom.db.sqlite3.base import SQLiteEngine
from django_loom.exceptions import AutocommitLeftOff
from tests.db.support import aask, ask, database, in_use
from tests.loops import LoopRunner
from tests.polling import aeventually

pytestmark = pytest.mark.usefixtures("db_tables")
ALIASES = ["one", "two"]
POOL = {"max_size": 1, "timeout": 10}  # so that a lost place is noticed
ANSWERS = ["is_idle", "is_open", "session_is_changed", "reset_transaction", "seems_alive"]
Work = Callable[[], None]


class Unanswered(Exception):
    pass


class Failing:
    """Which of the aliases' connections make the engine fail, and how often they have."""

    def __init__(self) -> None:
        self.aliases: list[str] = []
        self.times = 0
        self._alias_of: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def note(self, connection: Any, **named: Any) -> None:
        """Receive `connection_created`."""
        self._alias_of[connection.connection] = connection.alias

    def check(self, connection: Any) -> None:
        if self._alias_of.get(connection) in self.aliases:
            self.times += 1
            raise Unanswered


class Case:
    """Databases of one kind, of whose engine one answer may fail."""

    def __init__(self, change: str) -> None:
        self.failing = Failing()
        self.change = change

    def leave(self, state: str, alias: str) -> None:
        """Leave a connection in a state."""
        if state == "closed in a block":
            with suppress(Exception), transaction.atomic(alias):
                ask("SELECT 1", using=alias)
                connections[alias].connection.close()
            return
        ask("SELECT 1", using=alias)
        if state == "in a transaction":
            self.execute("BEGIN", alias)
        elif state == "without autocommit":
            connections[alias].set_autocommit(False)
            ask("SELECT 1", using=alias)
        elif state == "changed":
            self.execute(self.change, alias)
        elif state == "closed":
            with connections[alias].cursor():
                connections[alias].connection.close()

    @staticmethod
    def execute(sql: str, alias: str) -> None:
        with connections[alias].cursor() as cursor:
            cursor.execute(sql)


STATES = [
    "clean",
    "in a transaction",
    "without autocommit",
    "changed",
    "closed",
    "closed in a block",
]


@pytest.fixture(params=["postgresql", "sqlite"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with ExitStack() as stack:
        for alias in ALIASES:
            if request.param == "sqlite":
                entry = {"ENGINE": "django_loom.db.sqlite3", "NAME": tmp_path / alias}
            else:
                entry = deepcopy(settings.DATABASES["default"])
            stack.enter_context(database(alias, **entry | {"OPTIONS": {"pool": POOL}}))
        case = Case(
            "PRAGMA cache_size = 77" if request.param == "sqlite" else "SET search_path TO public"
        )
        connection_created.connect(case.failing.note)
        yield case
        connection_created.disconnect(case.failing.note)


@pytest.fixture(params=ANSWERS)
def failing(request: pytest.FixtureRequest, case: Case, monkeypatch: pytest.MonkeyPatch) -> Failing:
    engine: Any = SQLiteEngine if case.change.startswith("PRAGMA") else PostgreSQLEngine
    answer = getattr(engine, request.param)

    def fail(self: Any, connection: Any, *args: Any) -> Any:
        case.failing.check(connection)
        return answer(self, connection, *args)

    monkeypatch.setattr(engine, request.param, fail)
    return case.failing


# Where the code runs. Each does the work, has the engine fail from then on, and ends.


async def in_a_call(work: Work, fail: Work) -> None:
    def call() -> None:
        work()
        fail()

    await run_sync(call)


async def in_a_call_that_waits(work: Work, fail: Work) -> None:
    def call() -> None:
        work()
        fail()
        await_(asyncio.sleep(0))

    await run_sync(call)


async def in_a_call_of_a_unit(work: Work, fail: Work) -> None:
    with unit_of_work():
        await in_a_call(work, fail)


async def at_a_units_end(work: Work, fail: Work) -> None:
    with unit_of_work():
        await run_sync(work)
        fail()


async def in_a_thread(work: Work, fail: Work) -> None:
    def function() -> None:
        work()
        fail()

    with unit_of_work():
        await sync_to_async(function, thread_sensitive=False)()


async def in_a_librarys_thread(work: Work, fail: Work) -> None:
    """That works on for others: what it does not give back at once stays for ever."""

    def function() -> None:
        work()
        fail()
        use_again()

    with ThreadPoolExecutor(1) as executor:
        loop = asyncio.get_running_loop()
        with unit_of_work():
            await loop.run_in_executor(executor, copy_context().run, function)
        await aeventually(lambda: [in_use(alias) for alias in ALIASES] == [0, 0])


async def in_an_executor_where_a_loop_serves(work: Work, fail: Work) -> None:
    def function() -> None:
        work()
        fail()
        use_again()
        for alias in ALIASES:
            with suppress(Unanswered):
                connections[alias].close()
        assert [in_use(alias) for alias in ALIASES] == [0, 0]

    loop = asyncio.get_running_loop()
    serving.begin(loop)
    with ThreadPoolExecutor(1) as executor:
        await loop.run_in_executor(executor, function)


async def in_a_plain_thread(work: Work, fail: Work) -> None:
    def function() -> None:
        with suppress(Unanswered):
            work()
        fail()

    thread = threading.Thread(target=function)
    thread.start()
    await asyncio.to_thread(thread.join)


def use_again() -> None:
    for alias in ALIASES:
        with suppress(Unanswered, Error):  # one was closed by the code itself
            ask("SELECT 1", using=alias)


PLACES = [
    in_a_call,
    in_a_call_that_waits,
    in_a_call_of_a_unit,
    at_a_units_end,
    in_a_thread,
    in_a_librarys_thread,
    in_an_executor_where_a_loop_serves,
    in_a_plain_thread,
]


@pytest.mark.parametrize("place", PLACES)
def test_no_place_is_lost(
    case: Case,
    failing: Failing,
    place: Callable[[Work, Work], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run(state: str, aliases: list[str], *, at_once: bool) -> None:
        def fail() -> None:
            failing.aliases = aliases

        def work() -> None:
            for alias in ALIASES:
                case.leave(state, alias)

        def work_all() -> None:
            fail()
            for alias in ALIASES:
                with suppress(Unanswered):
                    case.leave(state, alias)

        for alias in ALIASES:
            assert await aask("SELECT 1", using=alias) == 1  # which is idle then
        with suppress(Unanswered, AutocommitLeftOff):
            await place(work_all if at_once else work, fail)
        failing.aliases = []
        await aeventually(lambda: [in_use(alias) for alias in ALIASES] == [0, 0])
        assert [django_loom.pool(alias).statistics().pinned for alias in ALIASES] == [0, 0]

    async def main() -> None:
        for state in STATES:
            for aliases in (["one"], ["two"], ALIASES):
                await run(state, aliases, at_once=False)
            await run(state, ALIASES, at_once=True)
        for alias in ALIASES:
            assert await aask("SELECT 1", using=alias) == 1

    with caplog.at_level(logging.CRITICAL, "django_loom"):
        LoopRunner("asyncio")(main)


def test_what_else_costs_data_is_logged(
    case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be an error, but there is another one already."""

    async def main() -> None:
        for states in (["without autocommit", "in a transaction"], ["in a transaction"] * 2):
            for failing in ALIASES:
                unit = unit_of_work()
                unit.__enter__()
                await run_sync(lambda: [*map(case.leave, states, ALIASES)])  # noqa: B023
                case.failing.aliases = [failing]
                with pytest.raises(Unanswered):
                    unit.__exit__(None, None, None)
                case.failing.aliases = []
                await aeventually(lambda: [in_use(alias) for alias in ALIASES] == [0, 0])

    engine: Any = connections["one"].engine.__class__
    is_open = engine.is_open

    def fail(self: Any, connection: Any) -> Any:
        case.failing.check(connection)
        return is_open(self, connection)

    monkeypatch.setattr(engine, "is_open", fail)
    with caplog.at_level(logging.WARNING, "django_loom"):
        LoopRunner("asyncio")(main)
    messages = [each.getMessage() for each in caplog.records]
    # Of "one" the loss is known before its engine is asked if it is open.
    assert [each.split(" on database ")[0] for each in messages] == [
        "Autocommit was off",
        "A transaction",
        "Autocommit was off",
        "A transaction",
        "A transaction",
    ]


def test_a_pin_is_counted_in_one_pool_though_its_settings_change(case: Case) -> None:
    async def main() -> None:
        with unit_of_work():
            await run_sync(case.leave, "changed", "one")
            pool = django_loom.pool("one")
            assert pool.statistics().pinned == 1
            connections["one"].settings_dict["USER"] = "another"
        await aeventually(lambda: pool.statistics().used == 0)
        assert pool.statistics().pinned == 0
        assert django_loom.pool("one").statistics().pinned == 0

    LoopRunner("asyncio")(main)


def test_a_reset_that_can_not_begin_frees_its_place(
    case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise LookupError("no object")

    async def main() -> None:
        with unit_of_work():
            await run_sync(case.leave, "changed", "one")
            monkeypatch.setattr(storage, "make_leased", fail)
        await aeventually(lambda: django_loom.pool("one").statistics().used == 0)
        monkeypatch.undo()
        assert await aask("SELECT 1", using="one") == 1

    pool = django_loom.pool("one")
    monkeypatch.setattr(registry, "get", lambda wrapper: pool)
    LoopRunner("asyncio")(main)
