"""`connections[alias]` is one object for all code of a unit of work, and for nobody else."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref
from zoneinfo import ZoneInfo

import greenlet
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.utils import DatabaseErrorWrapper, load_backend

import django_loom
from django_loom import await_, run_sync
from django_loom.bridge import Unit, unit_of_work
from django_loom.db import flows, parking
from django_loom.db.scopes import scopes_variable
from django_loom.db.storage import _KEY
from tests.db.support import aask, abackend_pid, ask, backend_pid, in_use, let_others_run, meet
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
UNITS = 20
TOKYO = ZoneInfo("Asia/Tokyo")


def present() -> Any:
    return connections["default"]


async def everywhere(function: Any) -> list[Any]:
    """What a function returns in each place where code of the present unit may run."""
    found = [
        await run_sync(function),
        await sync_to_async(function)(),
        await asyncio.to_thread(function),
        await asyncio.create_task(run_sync(function)),
        await run_sync(lambda: await_(run_sync(function))),
        await run_sync(lambda: await_(asyncio.to_thread(function))),
        await run_sync(lambda: async_to_sync(sync_to_async(function))()),
        await run_sync(lambda: greenlet.greenlet(function).switch()),
    ]
    return [*found, *await asyncio.gather(*[run_sync(function) for _ in range(3)])]


def test_one_object_for_all_code_of_a_unit(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with unit_of_work():
            own = present()  # in a coroutine, too
            assert all(each is own for each in await everywhere(present))
            assert in_use() == 0

    loop_runner(main)


def test_a_request_that_queries_in_between_keeps_its_object(loop_runner: LoopRunner) -> None:
    def use() -> Any:
        backend_pid()
        return present()

    async def main() -> None:
        with unit_of_work():
            own = await run_sync(use)
            async with django_loom.atomic():
                assert all(each is own for each in await everywhere(use))
            assert all(each is own for each in await everywhere(use))
        assert in_use() == 0

    loop_runner(main)


def test_attributes_are_the_units_alone(loop_runner: LoopRunner) -> None:
    async def unit(number: int, meeting: asyncio.Barrier) -> list[Any]:
        with unit_of_work():
            before = getattr(connection, "tenant", None)
            await run_sync(setattr, connection, "tenant", number)
            await meeting.wait()
            found = await everywhere(lambda: (ask("SELECT 1"), getattr(connection, "tenant", None)))
            await meeting.wait()
        return [before, {tenant for _, tenant in found}]

    async def main() -> None:
        meeting = asyncio.Barrier(UNITS)
        for _ in range(2):  # the second ones must find nothing of the first ones
            tasks = [asyncio.create_task(unit(number, meeting)) for number in range(UNITS)]
            assert await asyncio.gather(*tasks) == [[None, {number}] for number in range(UNITS)]
        assert not hasattr(connection, "tenant")

    loop_runner(main)


def test_replaced_methods_are_the_units_alone(loop_runner: LoopRunner) -> None:
    """As an APM agent or a toolbar does: `connection.cursor = ...`."""

    def replace(number: int, log: list[int]) -> None:
        own = present()
        plain = own.cursor

        def cursor(*args: Any) -> Any:
            log.append(number)
            return plain(*args)

        own.cursor = cursor

    async def unit(number: int, meeting: asyncio.Barrier) -> None:
        log: list[int] = []
        with unit_of_work():
            await asyncio.to_thread(replace, number, log)
            await meeting.wait()
            await everywhere(backend_pid)
            await meeting.wait()
        assert log == [number] * 11

    async def main() -> None:
        meeting = asyncio.Barrier(UNITS)
        await asyncio.gather(*[unit(number, meeting) for number in range(UNITS)])
        with unit_of_work():
            assert await run_sync(lambda: "cursor" in vars(present())) is False

    loop_runner(main)


# Parking: the next unit may get the object of one that has ended.


async def serves_the_next_unit(change: Any) -> bool:
    """Use an object in one unit; tell if the next unit gets it."""

    def work() -> tuple[int, Any]:
        backend_pid()
        return id(present()), change()

    with unit_of_work():
        before, kept = await run_sync(work)
    with unit_of_work():
        found = await run_sync(lambda: id(present()))
    del kept
    return found == before


def test_an_untouched_object_serves_the_next_unit(loop_runner: LoopRunner) -> None:
    def untouched() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert Author.objects.count() == 0
        assert connection.introspection.table_names()
        assert connection.features.has_select_for_update

    assert loop_runner(serves_the_next_unit, untouched)


CHANGES = {
    "an attribute": lambda: setattr(present(), "tenant", 1),
    "a replaced method": lambda: setattr(present(), "cursor", present().cursor),
    "a replaced attribute": lambda: setattr(present(), "queries_limit", 7),
    "an attribute of a helper": lambda: setattr(present().ops, "tenant", 1),
    "a replaced helper": lambda: setattr(present(), "ops", type(present().ops)(present())),
    "a wrapper of statements": lambda: present().execute_wrappers.append(lambda *a: a[0](*a[1:])),
    "kept by somebody": lambda: present(),
    "a kept method": lambda: present().cursor,
    "a kept list of wrappers": lambda: present().execute_wrappers,
    "a replaced list of wrappers": lambda: setattr(present(), "execute_wrappers", []),
    "kept operations": lambda: present().ops,
    "kept features": lambda: present().features,
    "operations in a weak reference": lambda: ref(present().ops),
    "a kept error wrapper": lambda: present().wrap_database_errors,
    "a replaced error wrapper": lambda: setattr(
        present(), "wrap_database_errors", DatabaseErrorWrapper(present())
    ),
    "a time zone": lambda: setattr(present(), "timezone", TOKYO),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_object_that_was_changed_or_kept_serves_no_other_unit(change: Any) -> None:
    assert not asyncio.run(serves_the_next_unit(change))


@pytest.mark.parametrize(
    ("owner", "name"),
    [("connection", "timezone_name"), ("features", "uses_server_side_binding"), ("ops", "_cache")],
)
def test_a_value_that_code_has_put_in_place_of_a_kept_one_is_its_units(
    owner: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "_parked", defaultdict(deque))

    def owned() -> dict[str, Any]:
        ask("SELECT 1")
        return vars(present() if owner == "connection" else getattr(present(), owner))

    def change() -> None:
        owned()[name] = "Asia/Tokyo"

    async def main() -> None:
        with unit_of_work():
            await run_sync(change)
        with unit_of_work():
            assert (await run_sync(owned)).get(name) is None

    asyncio.run(main())


def test_an_engine_whose_objects_have_a_dict_makes_one_for_each_unit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain_class = load_backend(connections.settings["default"]["ENGINE"]).DatabaseWrapper
    made = plain_class.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self.tags = {}

    def tag() -> dict[str, str]:
        found = dict(present().tags)
        present().tags["user"] = "ann"
        return found

    async def main() -> None:
        for _ in range(2):
            with unit_of_work():
                assert await run_sync(tag) == {}

    monkeypatch.setattr(parking, "_parked", defaultdict(deque))
    monkeypatch.setattr(plain_class, "__init__", __init__)
    asyncio.run(main())


def test_a_kept_object_is_refused_in_other_units_and_in_plain_threads() -> None:
    with unit_of_work():
        kept = present()
        assert kept is present()
        with unit_of_work(), pytest.raises(DatabaseError, match="belongs to another unit"):
            kept.cursor()
        thread_context = contextvars.Context()
        errors: list[Any] = []

        def use() -> None:
            try:
                kept.cursor()
            except DatabaseError as error:
                errors.append(str(error))

        thread = threading.Thread(target=thread_context.run, args=[use])
        thread.start()
        thread.join()
        assert "belongs to another unit" in errors[0]
        kept.cursor().close()
        kept.close()
    with pytest.raises(DatabaseError, match="belongs to another unit"):
        kept.cursor()
    assert in_use() == 0


# Leases: the object has several connections for code that runs at once.


def test_gathered_tasks_use_several_connections_at_once(
    loop_runner: LoopRunner, meeting_point: None
) -> None:
    async def query() -> tuple[int, int]:
        pid = await Author.objects.values_list(meet(4), flat=True).aget()
        return pid, id(present())

    async def main() -> None:
        await Author.objects.acreate(name="Ann")
        with unit_of_work():
            found = await asyncio.gather(*[query() for _ in range(4)])
            assert len({pid for pid, _ in found}) == 4
            assert len({identity for _, identity in found}) == 1

    loop_runner(main)


def test_state_of_one_connection_is_not_seen_by_the_code_beside_it(
    loop_runner: LoopRunner,
) -> None:
    def block(others: asyncio.Barrier) -> tuple[bool, int]:
        with transaction.atomic():
            Author.objects.create(name="in the block")
            await_(others.wait())
            await_(others.wait())
            return connection.in_atomic_block, Author.objects.count()

    def beside() -> tuple[bool, bool, int, bool]:
        pid = backend_pid()
        return (
            connection.in_atomic_block,
            connection.get_autocommit(),
            Author.objects.count(),
            connection.connection.info.backend_pid == pid,
        )

    async def main() -> None:
        with unit_of_work():
            others = asyncio.Barrier(2)
            task = asyncio.create_task(run_sync(block, others))
            await others.wait()
            assert await run_sync(beside) == (False, True, 0, True)
            await others.wait()
            assert await task == (True, 1)

    loop_runner(main)


@pytest.mark.parametrize("is_used_first", [False, True])
def test_an_object_that_is_shared_with_threads_has_one_connection_for_all(
    loop_runner: LoopRunner, is_used_first: bool
) -> None:
    def work() -> None:
        own = present()
        if is_used_first:
            backend_pid()
        own.inc_thread_sharing()
        with ThreadPoolExecutor(1) as threads:
            pids = {backend_pid(), threads.submit(pid_of, own).result()}
            await_(let_others_run())
            assert in_use() == 1  # for the threads, of which nobody tells when they need it
            pids |= {backend_pid(), threads.submit(pid_of, own).result()}
        own.dec_thread_sharing()
        assert len(pids) == 1

    def pid_of(own: Any) -> int:
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    async def main() -> None:
        with unit_of_work():
            await run_sync(work)
        await aeventually(lambda: in_use() == 0)

    loop_runner(main)


def test_deleting_the_object_gives_its_connections_back(loop_runner: LoopRunner) -> None:
    def work() -> tuple[int, bool]:
        before = present()
        backend_pid()
        del connections["default"]
        used = in_use()
        return used, present() is before

    async def main() -> None:
        for _ in range(12):  # more often than the pool has places
            assert await run_sync(work) == (0, False)
        assert (in_use(), await aask("SELECT 1")) == (0, 1)

    loop_runner(main)


def test_deleting_the_object_in_a_block_closes_the_connection(loop_runner: LoopRunner) -> None:
    def work() -> None:
        with transaction.atomic():
            Author.objects.create(name="lost")
            del connections["default"]
            with pytest.raises(OperationalError, match="the connection is closed"):
                Author.objects.create(name="not in the block")

    async def main() -> None:
        await run_sync(work)
        assert in_use() == 0
        assert not await Author.objects.filter(name="lost").aexists()

    loop_runner(main)


def test_deleting_an_object_that_is_not_there_is_an_error() -> None:
    with unit_of_work():
        connections["other"]
        del connections["other"]
        with pytest.raises(AttributeError, match="other"):
            del connections["other"]


def test_a_child_greenlet_is_in_the_transaction_around_it(loop_runner: LoopRunner) -> None:
    def work() -> int:
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
            pid = greenlet.greenlet(backend_pid).switch()
            assert pid == backend_pid()
            greenlet.greenlet(Author.objects.create).switch(name="rolled back")
            raise ZeroDivisionError
        greenlet.greenlet(Author.objects.create).switch(name="kept")
        return Author.objects.count()

    async def main() -> None:
        assert await run_sync(work) == 1
        assert in_use() == 0

    loop_runner(main)


# Ends.


def test_code_that_outlives_its_unit_has_connections_all_the_same(
    loop_runner: LoopRunner,
) -> None:
    async def later(begun: asyncio.Event) -> int:
        await begun.wait()
        await Author.objects.acreate(name="from the task")
        async with django_loom.atomic():
            await Author.objects.acreate(name="from its block")
        return await asyncio.to_thread(Author.objects.count)

    async def main() -> None:
        ended = asyncio.Event()
        with unit_of_work() as unit:
            await run_sync(setattr, connection, "tenant", 1)
            task = asyncio.create_task(later(ended))
            await let_others_run()
        ended.set()
        assert await task == 2
        assert in_use() == 0
        assert _KEY not in unit.belongings or not any(
            each.leases for each in unit.belongings[_KEY].values()
        )

    loop_runner(main)


def test_a_block_that_outlives_its_unit_commits(loop_runner: LoopRunner) -> None:
    async def work(begun: asyncio.Event, ended: asyncio.Event) -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="kept")
            begun.set()
            await ended.wait()
            await Author.objects.acreate(name="kept as well")

    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()
        with unit_of_work():
            await run_sync(setattr, connection, "tenant", 1)
            task = asyncio.create_task(work(begun, ended))
            await begun.wait()
        ended.set()
        await task
        assert (in_use(), await Author.objects.acount()) == (0, 2)

    loop_runner(main)


def test_a_library_thread_keeps_nothing_of_ended_units(loop_runner: LoopRunner) -> None:
    """Its pool's threads live as long as the process; their code may just look at the object."""

    def work() -> None:
        assert not connection.in_atomic_block
        with transaction.atomic():
            Author.objects.count()
        assert list(Author.objects.iterator(chunk_size=1)) == []
        assert (connection.in_atomic_block, in_use()) == (False, 0)

    async def main() -> int:
        run = partial(asyncio.get_running_loop().run_in_executor, ThreadPoolExecutor(1))
        for _ in range(5):
            with unit_of_work():
                await run(copy_context().run, work)
        return await run(lambda: len(flows.of_this_thread()))

    assert loop_runner(main) == 0


@pytest.mark.parametrize("per_unit", [False, True])
def test_an_ended_unit_holds_no_lease(loop_runner: LoopRunner, per_unit: bool) -> None:
    units: list[Unit] = []

    async def unit() -> None:
        with unit_of_work() as own:
            units.append(own)
            await everywhere(backend_pid)
            if per_unit:
                await run_sync(ask, "SELECT set_config('loom.x', 'y', false)")
            found = own.belongings[_KEY]["default"]
            assert (found.pinned is not None) is per_unit
        assert found.pinned is None
        assert found.leases == {}
        assert found.outliving == []

    async def main() -> None:
        await asyncio.gather(*[unit() for _ in range(5)])
        await abackend_pid()

    loop_runner(main)
    assert all(own.ended and not own.belongings.get(_KEY) for own in units)
    assert django_loom.pool().statistics().pinned == 0


def _close_in_a_block() -> None:
    with suppress(DatabaseError), transaction.atomic():
        connection.close()


def _connect() -> None:
    connection.ensure_connection()


def _close() -> None:
    connection.close()


@pytest.mark.parametrize("last", [_connect, _close, _close_in_a_block])
@pytest.mark.parametrize("on_loop", [False, True])
def test_code_that_ends_its_own_unit_holds_no_lease(last: Any, on_loop: bool) -> None:
    """Nothing follows that would give the connection back, neither a wait nor a statement."""

    def unit() -> None:
        with unit_of_work():
            backend_pid()
            connection.close()
            last()
            own = present()
        assert (own.leases, own.outliving, in_use()) == ({}, [], 0)

    async def main() -> None:
        await run_sync(unit)

    if on_loop:
        asyncio.run(main())
    else:
        unit()


def test_a_unit_that_begins_while_a_cursor_is_read_has_its_own_object(
    loop_runner: LoopRunner,
) -> None:
    """A reader's object would be the unit's until the cursor is closed, and then another."""

    async def main() -> None:
        await Author.objects.abulk_create([Author(name=str(number)) for number in range(5)])
        rows = Author.objects.aiterator(chunk_size=1)
        await anext(rows)
        with unit_of_work():
            await run_sync(setattr, connection, "tenant", 1)
            await rows.aclose()
            await aeventually(lambda: in_use() == 0)  # the loop closes what is in it
            assert await run_sync(getattr, connection, "tenant", None) == 1

    loop_runner(main)


def test_the_object_of_a_block_serves_the_next_block(loop_runner: LoopRunner) -> None:
    """A new one for each is a fourth of the block's cost; what keeps it from that is a leak."""

    async def main() -> None:
        async def block() -> int:
            async with django_loom.atomic():
                await aask("SELECT 1")
                return id(present())

        await block()  # which works out what such an object keeps
        assert await block() == await block()

    loop_runner(main)


@pytest.mark.parametrize("fails", [False, True])
def test_a_context_forgets_the_block_that_it_has_left(loop_runner: LoopRunner, fails: bool) -> None:
    async def main() -> None:
        with unit_of_work():
            with suppress(ZeroDivisionError):
                async with django_loom.atomic(), django_loom.atomic():
                    assert "default" in (scopes_variable.get() or {})
                    1 / (not fails)
            assert "default" not in (scopes_variable.get() or {})

    loop_runner(main)


@pytest.mark.parametrize("what", ["object", "helper", "weakly"])
def test_what_a_unit_has_made_of_the_object_is_not_the_next_ones(
    loop_runner: LoopRunner, what: str
) -> None:
    known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def use() -> bool:
        """Tell if somebody was here before."""
        ask("SELECT 1")
        changed = connection.ops if what == "helper" else present()
        if changed in known or type(changed).__name__ == "Changed":
            return True
        if what == "weakly":
            known[changed] = True
        else:
            changed.__class__ = type("Changed", (type(changed),), {})
        return False

    async def main() -> None:
        for _ in range(3):
            with unit_of_work():
                assert not await run_sync(use)
                gc.collect()

    loop_runner(main)
