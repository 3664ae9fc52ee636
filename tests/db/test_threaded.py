"""An ENGINE whose driver blocks: its calls run in threads, the ORM stays on the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connections, transaction

import django_loom
from django_loom import await_, run_sync
from django_loom.db import registry
from django_loom.exceptions import EngineNotSupported
from tests.db.support import ask, database, in_use
from tests.fake_engine.driver import gate
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

AUTHORS = Author.objects.using("fake")


class Undo(Exception):
    pass


@pytest.fixture(autouse=True)
def fake(tmp_path: Path) -> Iterator[None]:
    with database("fake", ENGINE="tests.fake_engine.on_loop", NAME=str(tmp_path / "fake")):
        with connections["fake"].schema_editor() as editor:
            editor.create_model(Author)
        gate.threads.clear()
        yield
        assert in_use("fake") == 0


def test_driver_calls_run_in_a_thread_and_orm_code_on_the_loop(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        orm_threads = []

        def wrapper(execute, *args):
            orm_threads.append(threading.get_ident())
            return execute(*args)

        with connections["fake"].execute_wrapper(wrapper):
            await AUTHORS.acreate(name="Ann")
            assert (await AUTHORS.aget()).name == "Ann"
        assert set(orm_threads) == {threading.get_ident()}
        assert len(gate.threads) >= 2
        assert threading.get_ident() not in gate.threads

    loop_runner(main)


def test_the_loop_goes_on_while_the_driver_blocks(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with gate.shut():
            task = asyncio.create_task(AUTHORS.acount())
            await aeventually(lambda: gate.waiting == 1)
            assert not task.done()
            gate.open()
            assert await task == 0

    loop_runner(main)


def test_calls_run_at_the_same_time_each_in_the_thread_of_its_connection(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        with gate.shut():
            tasks = [asyncio.create_task(AUTHORS.acount()) for _ in range(3)]
            await aeventually(lambda: gate.waiting == 3)
            gate.open()
            assert await asyncio.gather(*tasks) == [0, 0, 0]
        assert len(set(gate.threads)) == 3

    loop_runner(main)


def test_a_connection_stays_in_its_thread(loop_runner: LoopRunner) -> None:
    def opened_in() -> int:
        connections["fake"].ensure_connection()
        return connections["fake"].connection.opened_in

    async def main() -> None:
        thread = await run_sync(opened_in)
        for _ in range(3):
            await AUTHORS.acount()
        assert set(gate.threads) == {thread}

    loop_runner(main)


def test_a_transaction_uses_one_connection_one_statement_at_a_time(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        async with django_loom.atomic("fake"):
            await AUTHORS.acreate(name="Ann")
            gate.threads.clear()
            with gate.shut():
                tasks = [asyncio.create_task(AUTHORS.acount()) for _ in range(3)]
                await aeventually(lambda: gate.waiting == 1)
                gate.open()
                assert await asyncio.gather(*tasks) == [1, 1, 1]
            assert len(set(gate.threads)) == 1

    loop_runner(main)


def test_transactions_and_savepoints_are_undone(loop_runner: LoopRunner) -> None:
    @django_loom.atomic("fake")
    async def inner() -> None:
        await AUTHORS.acreate(name="undone")
        raise Undo

    def sync_inner() -> None:
        with transaction.atomic("fake"):
            AUTHORS.create(name="undone too")
            await_(inner())

    async def main() -> None:
        async with django_loom.atomic("fake"):
            await AUTHORS.acreate(name="kept")
            with pytest.raises(Undo):
                await inner()
            with pytest.raises(Undo):
                await run_sync(sync_inner)
        assert [author.name async for author in AUTHORS.all()] == ["kept"]

    loop_runner(main)


def test_errors_of_the_driver_are_djangos(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await AUTHORS.acreate(name="Ann")
        with pytest.raises(IntegrityError) as raised:
            await AUTHORS.acreate(name="Ann")
        assert raised.value.__cause__ is not None
        assert await AUTHORS.acount() == 1

    loop_runner(main)


def test_a_cancelled_caller_waits_for_a_driver_that_cannot_be_interrupted(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        with gate.shut():
            task = asyncio.create_task(AUTHORS.acreate(name="Ann"))
            await aeventually(lambda: gate.waiting == 1)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            assert in_use("fake") == 1
            gate.open()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert in_use("fake") == 0
        assert await AUTHORS.acount() in (0, 1)

    loop_runner(main)


def test_rows_come_in_order_and_a_left_iterator_gives_its_connection_back(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        await AUTHORS.abulk_create([Author(name=f"{n:04}") for n in range(500)])
        names = [author.name async for author in AUTHORS.order_by("name").aiterator(50)]
        assert names == [f"{n:04}" for n in range(500)]
        rows = AUTHORS.aiterator(50)
        await anext(rows)
        await rows.aclose()
        await aeventually(lambda: in_use("fake") == 0)
        assert await AUTHORS.acount() == 500

    loop_runner(main)


def test_threads_end_with_their_connections(loop_runner: LoopRunner) -> None:
    def threads() -> list[str]:
        names = [thread.name for thread in threading.enumerate()]
        return [name for name in names if name.startswith("django_loom fake")]

    async def main() -> None:
        await asyncio.gather(*[AUTHORS.acount() for _ in range(3)])
        assert threads()
        registry.close("fake")
        await aeventually(lambda: not threads())

    loop_runner(main)


def test_outside_a_loop_the_driver_is_called_directly() -> None:
    AUTHORS.create(name="Ann")
    assert set(gate.threads) == {threading.get_ident()}
    assert connections["fake"].connection.opened_in == threading.get_ident()
    assert django_loom.pool("fake").statistics().created == 0


def test_with_a_pool_threads_share_connections_outside_a_loop(tmp_path: Path) -> None:
    options = {"pool": {"max_size": 1}}
    engine = "tests.fake_engine.on_loop"
    opened = []

    def in_thread() -> None:
        ask("SELECT 1", using="pooled")
        opened.append(connections["pooled"].connection.opened_in)
        connections["pooled"].close()

    with database("pooled", ENGINE=engine, NAME=str(tmp_path / "pooled"), OPTIONS=options):
        for _ in range(2):
            thread = threading.Thread(target=in_thread)
            thread.start()
            thread.join()
    assert len(opened) == 2
    assert len(set(opened)) == 1


def test_an_engine_without_the_mixin_is_refused_on_the_loop(
    loop_runner: LoopRunner, tmp_path: Path
) -> None:
    async def main() -> None:
        with pytest.raises(EngineNotSupported, match="ThreadedDatabaseMixin") as raised:
            await Author.objects.using("stock").acount()
        assert "'tests.fake_engine'" in str(raised.value)
        with pytest.raises(EngineNotSupported, match="has no pool"):
            django_loom.pool("stock")

    with database("stock", ENGINE="tests.fake_engine", NAME=str(tmp_path / "stock")):
        loop_runner(main)


def test_an_engine_without_the_mixin_is_as_ever_outside_a_loop(tmp_path: Path) -> None:
    with database("stock", ENGINE="tests.fake_engine", NAME=str(tmp_path / "stock")):
        connection = connections["stock"]
        with transaction.atomic("stock"):
            assert ask("SELECT 1", using="stock") == 1
            assert connections["stock"] is connection
            assert connection.in_atomic_block


def test_an_async_block_of_a_threads_async_code_with_an_engine_without_the_mixin(
    tmp_path: Path,
) -> None:
    stock = Author.objects.using("stock")

    async def write(name: str, *, undo: bool) -> None:
        async with django_loom.atomic("stock"):
            await stock.acreate(name=name)
            assert await run_sync(lambda: connections["stock"].in_atomic_block)
            if undo:
                raise Undo

    with database("stock", ENGINE="tests.fake_engine", NAME=str(tmp_path / "stock")):
        with connections["stock"].schema_editor() as editor:
            editor.create_model(Author)
        async_to_sync(write)("kept", undo=False)
        with pytest.raises(Undo):
            async_to_sync(write)("undone", undo=True)
        assert not connections["stock"].in_atomic_block
        assert [author.name for author in stock.all()] == ["kept"]
