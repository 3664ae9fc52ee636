"""A transaction that nobody leaves ends with its unit, also on a pinned connection."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from contextvars import copy_context
from typing import Any

import pytest
from django.db import connections, transaction

import django_loom
from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.support import aask, ask, in_use, let_others_run, second_alias
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")
Pin = Callable[[str], Any]


@asynccontextmanager
async def by_statement(alias: str) -> AsyncIterator[None]:
    await aask("SELECT set_config('loom.tag', 'x', false)", using=alias)
    yield


@asynccontextmanager
async def by_pin(alias: str) -> AsyncIterator[None]:
    async with django_loom.pin(alias):
        yield


@asynccontextmanager
async def by_option(alias: str) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def not_at_all(alias: str) -> AsyncIterator[None]:
    yield


PINS = [by_statement, by_pin, by_option, not_at_all]
each_pin = pytest.mark.parametrize("pin", PINS)


@pytest.fixture
def alias(pin: Pin) -> Iterator[str]:
    options = {"pool": {"max_size": 2, "timeout": 5, "per_unit": pin is by_option}}
    with second_alias(OPTIONS=options) as alias:
        yield alias


def enter_and_forget(alias: str, name: str = "lost") -> transaction.Atomic:
    block = transaction.atomic(alias)
    block.__enter__()  # the line that the warning names
    Author.objects.using(alias).create(name=name)
    return block


def change_and_forget(alias: str) -> None:
    """The session is changed in the block, which is there first."""
    enter_and_forget(alias)
    ask("SELECT set_config('loom.tag', 'x', false)", using=alias)


async def in_job(function: Callable[..., Any], *args: Any) -> Any:
    """As a view in a thread."""

    def job() -> Any:
        storage: Any = connections._connections
        with storage.leases_end():
            return function(*args)

    return await asyncio.to_thread(job)


@each_pin
@pytest.mark.parametrize("run", [run_sync, in_job])
@pytest.mark.parametrize("leave", [enter_and_forget, change_and_forget])
def test_a_block_that_nobody_leaves_is_rolled_back_with_a_warning(
    loop_runner: LoopRunner,
    pin: Pin,
    alias: str,
    run: Callable[..., Awaitable[Any]],
    leave: Callable[[str], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        for _ in range(3):  # more often than the pool has places
            with unit_of_work():
                async with pin(alias):
                    await run(leave, alias)
        await aeventually(lambda: in_use(alias) == 0)
        assert django_loom.pool(alias).statistics().pinned == 0
        assert await Author.objects.using(alias).acount() == 0
        assert await aask("SELECT current_setting('loom.tag', true)", using=alias) in (None, "")

    with caplog.at_level(logging.WARNING, "django_loom"):
        loop_runner(main)
    warnings = [each.getMessage() for each in caplog.records]
    assert len(warnings) == 3
    assert all("was open at the end of a unit of work" in each for each in warnings)
    assert all(" in enter_and_forget" in each for each in warnings)


@each_pin
def test_code_that_ends_its_own_unit_leaves_no_block(pin: Pin, alias: str) -> None:
    def unit() -> None:
        with unit_of_work():
            if pin is by_pin:
                with django_loom.pin(alias):
                    enter_and_forget(alias)
            elif pin is by_statement:
                change_and_forget(alias)
            else:
                enter_and_forget(alias)
        assert in_use(alias) == 0

    async def main() -> None:
        await run_sync(unit)

    unit()
    asyncio.run(main())
    assert Author.objects.using(alias).count() == 0


@each_pin
def test_who_waits_for_the_left_block_goes_on_without_it(
    loop_runner: LoopRunner, pin: Pin, alias: str
) -> None:
    async def main() -> None:
        with unit_of_work():
            async with pin(alias):
                await run_sync(enter_and_forget, alias)
                beside = asyncio.create_task(Author.objects.using(alias).acount())
                await let_others_run()
        assert await beside in (0, 1)  # in the transaction, if its context knows that
        await aeventually(lambda: in_use(alias) == 0)
        await Author.objects.using(alias).acreate(name="kept")
        assert await Author.objects.using(alias).acount() == 1

    loop_runner(main)


@each_pin
def test_a_block_of_a_flow_that_outlives_the_unit_goes_on(
    loop_runner: LoopRunner, pin: Pin, alias: str
) -> None:
    def work(begun: asyncio.Event, ended: asyncio.Event) -> None:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="kept")
            begun.set()
            django_loom.await_(ended.wait())
            Author.objects.using(alias).create(name="kept as well")

    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()
        with unit_of_work():
            async with pin(alias):
                await aask("SELECT 1", using=alias)  # not by the block's flow is it pinned
                task = asyncio.create_task(run_sync(work, begun, ended))
                await begun.wait()
        ended.set()
        await task
        await aeventually(lambda: in_use(alias) == 0)
        assert await Author.objects.using(alias).acount() == 2

    loop_runner(main)


@each_pin
def test_a_flow_that_outlives_its_unit_leaves_no_block(
    loop_runner: LoopRunner, pin: Pin, alias: str
) -> None:
    def work(begun: asyncio.Event, ended: asyncio.Event) -> None:
        enter_and_forget(alias)
        begun.set()
        django_loom.await_(ended.wait())

    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()
        with unit_of_work():
            async with pin(alias):
                await aask("SELECT 1", using=alias)
                task = asyncio.create_task(run_sync(work, begun, ended))
                await begun.wait()
        ended.set()
        await task
        await aeventually(lambda: in_use(alias) == 0)
        assert await Author.objects.using(alias).acount() == 0

    loop_runner(main)


@each_pin
def test_a_generator_that_is_closed_after_its_unit_ends_nothing_of_others(
    loop_runner: LoopRunner, pin: Pin, alias: str
) -> None:
    def parts() -> Iterator[str]:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="lost")
            yield "a part"

    async def main() -> None:
        made = parts()
        with unit_of_work():
            async with pin(alias):
                await run_sync(next, made)
        await aeventually(lambda: in_use(alias) == 0)
        made.close()
        gc.collect()
        assert await Author.objects.using(alias).acount() == 0

    loop_runner(main)


class Holder:
    """Has a generator, and may be left to the garbage collector with it."""

    def __init__(self, parts: Iterator[str]) -> None:
        self.parts: Any = parts

    def close(self) -> None:
        self.parts.close()

    def collect(self) -> None:
        self.cycle, self.parts = [self.parts], None
        self.cycle.append(self.cycle)
        del self.cycle
        gc.collect()


@pytest.mark.parametrize("end", [Holder.close, Holder.collect])
@each_pin
def test_an_abandoned_block_that_is_left_in_a_block_of_another_unit_ends_nothing(
    loop_runner: LoopRunner, pin: Pin, alias: str, end: Callable[[Holder], None]
) -> None:
    def parts() -> Iterator[str]:
        with transaction.atomic(alias), transaction.atomic(alias):
            Author.objects.using(alias).create(name="lost")
            yield "a part"

    def others(left: Holder, fails: bool) -> None:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name=f"first, fails: {fails}")
            end(left)
            assert connections[alias].in_atomic_block
            Author.objects.using(alias).create(name=f"second, fails: {fails}")
            if fails:
                raise LookupError

    async def main() -> None:
        for fails in (False, True):
            left = Holder(parts())
            with unit_of_work():
                async with pin(alias):
                    await run_sync(next, left.parts)
            await aeventually(lambda: in_use(alias) == 0)
            with unit_of_work(), suppress(LookupError):
                await run_sync(others, left, fails)
        names = Author.objects.using(alias).order_by("pk").values_list("name", flat=True)
        assert [name async for name in names] == ["first, fails: False", "second, fails: False"]

    loop_runner(main)


def test_one_atomic_object_of_an_abandoned_block_and_of_an_open_one() -> None:
    block = transaction.atomic()

    def parts() -> Iterator[str]:
        with block:
            Author.objects.create(name="lost")
            yield "a part"

    with unit_of_work():
        left = Holder(parts())
        next(left.parts)
    with unit_of_work(), transaction.atomic():
        with block:
            Author.objects.create(name="kept")
        Author.objects.create(name="kept as well")
        with block:
            left.collect()
            Author.objects.create(name="kept, too")
    assert Author.objects.count() == 3


@each_pin
def test_a_thread_of_a_library_leaves_no_block_when_it_ends(
    loop_runner: LoopRunner, pin: Pin, alias: str
) -> None:
    """Nobody tells of the end of its function: that of the thread is the first to be seen."""

    async def main() -> None:
        with ThreadPoolExecutor(1) as threads:
            asyncio.get_running_loop().set_default_executor(threads)
            with unit_of_work():
                async with pin(alias):
                    await aask("SELECT 1", using=alias)
                    run = copy_context().run
                    await asyncio.get_running_loop().run_in_executor(
                        None, run, enter_and_forget, alias
                    )
            assert in_use(alias) == 1
            threads.shutdown()
        await aeventually(lambda: in_use(alias) == 0)
        assert await Author.objects.using(alias).acount() == 0

    loop_runner(main)


# Inside another block, whose end would wait for the turn that the left one has.


def enter_two_and_forget(alias: str) -> None:
    enter_and_forget(alias)
    enter_and_forget(alias, "lost too")


async def in_task(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.create_task(run_sync(function, *args))


async def in_async_block(alias: str, body: Callable[[], Awaitable[Any]]) -> None:
    async with django_loom.atomic(alias):
        await body()


async def in_sync_block(alias: str, body: Callable[[], Awaitable[Any]]) -> None:
    def block() -> None:
        with transaction.atomic(alias):
            django_loom.await_(body())

    await run_sync(block)


@pytest.mark.parametrize("pin", [by_statement, not_at_all])
@pytest.mark.parametrize("around", [in_async_block, in_sync_block])
@pytest.mark.parametrize("run", [run_sync, in_task, in_job])
@pytest.mark.parametrize(
    ("leave", "fails"),
    [(enter_and_forget, False), (enter_two_and_forget, False), (enter_and_forget, True)],
)
def test_a_block_around_one_that_was_left_ends_at_once(
    loop_runner: LoopRunner,
    pin: Pin,
    alias: str,
    around: Callable[..., Awaitable[None]],
    run: Callable[..., Awaitable[Any]],
    leave: Callable[[str], Any],
    fails: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> None:
        await run(leave, alias)
        if fails:
            raise ZeroDivisionError

    async def main() -> None:
        with unit_of_work():
            async with pin(alias):
                with pytest.raises(ZeroDivisionError) if fails else nullcontext():
                    await around(alias, body)
        await aeventually(lambda: in_use(alias) == 0)
        assert await Author.objects.using(alias).acount() == 0

    with caplog.at_level(logging.WARNING, "django_loom"):
        loop_runner(main)
    (warning,) = [each.getMessage() for each in caplog.records]
    assert "was open at the end of a unit of work" in warning
    assert "was entered and never left" in warning
