"""Several databases at once: their leases, transactions and routers are apart."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections, transaction
from django.db.models import Model
from django.test.utils import override_settings
from django.utils.connection import ConnectionDoesNotExist

import django_loom
from django_loom import await_, run_sync
from tests.db.support import abackend_pid, ask, backend_pid, in_use, second_alias
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author, Book

pytestmark = pytest.mark.usefixtures("db_tables")
OTHER = Author.objects.using("other")


class Undo(Exception):
    pass


class ReadsFromOther:
    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return "default"

    def allow_relation(self, *args: Any, **hints: Any) -> bool:
        return True


def test_each_alias_has_its_own_pool_and_rows(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await asyncio.gather(
            Author.objects.acreate(name="Ann"), OTHER.acreate(name="Bea"), OTHER.acreate(name="Cid")
        )
        assert await asyncio.gather(Author.objects.acount(), OTHER.acount()) == [1, 2]
        assert django_loom.pool("default") is not django_loom.pool("other")
        assert django_loom.pool("other").statistics().max == 4

    loop_runner(main)


def test_a_transaction_on_one_leaves_the_other_free(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            pid = await abackend_pid()
            pids = await asyncio.gather(*[abackend_pid("other") for _ in range(3)])
            assert len(set(pids)) == 3
            assert (in_use("default"), in_use("other")) == (1, 0)
            assert await abackend_pid() == pid

    loop_runner(main)


def test_one_call_can_use_both(loop_runner: LoopRunner) -> None:
    async def elsewhere() -> tuple[int, int]:
        return in_use("default"), in_use("other")

    def sync_code() -> tuple[int, int]:
        backend_pid("default"), backend_pid("other")
        assert (in_use("default"), in_use("other")) == (1, 1)
        with transaction.atomic("other"):
            backend_pid("default")
            return await_(elsewhere())

    async def main() -> None:
        assert await run_sync(sync_code) == (0, 1)

    loop_runner(main)


@pytest.mark.parametrize("in_thread", [False, True])
def test_two_taken_in_opposite_order_do_not_wait_for_each_other(
    loop_runner: LoopRunner, in_thread: bool
) -> None:
    async def main() -> None:
        options = {"pool": {"max_size": 1, "timeout": 5}}
        with second_alias(OPTIONS=options) as one, second_alias("other", OPTIONS=options) as two:
            both = threading.Barrier(2)
            met: list[int] = []

            def use(first: str, second: str) -> None:
                ask("SELECT 1", using=first)
                if in_thread:
                    both.wait(5)  # each has the connection to its first one
                else:
                    met.append(1)
                    while len(met) < 2:
                        ask("SELECT 1", using=first)  # a wait that it keeps the connection for
                ask("SELECT 1", using=second)

            run: Any = partial(run_sync, use)
            if in_thread:
                run = sync_to_async(use, thread_sensitive=False)
            async with asyncio.TaskGroup() as group:
                group.create_task(run(one, two))
                group.create_task(run(two, one))
            await aeventually(lambda: in_use(one) + in_use(two) == 0)

    loop_runner(main)


@pytest.mark.usefixtures("sqlite_tables")
@pytest.mark.parametrize("shares", ["a block", "a pin", "the turn to write"])
def test_who_waits_for_a_turn_has_no_idle_connection_to_another_database(
    loop_runner: LoopRunner, shares: str
) -> None:
    """Who has the turn needs that connection."""
    alias = "sqlite" if shares == "the turn to write" else "default"

    def has_turn(other: str, entered: asyncio.Event, has_other: asyncio.Event) -> None:
        with transaction.atomic(alias):
            Author.objects.using(alias).create(name="Ann")
            entered.set()
            await_(has_other.wait())
            ask("SELECT 1", using=other)

    def waits(other: str, entered: asyncio.Event, has_other: asyncio.Event) -> None:
        await_(entered.wait())
        ask("SELECT 1", using=other)
        has_other.set()
        Author.objects.using(alias).create(name="Ben")

    async def both(other: str) -> None:
        events = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_sync(has_turn, other, *events))
            group.create_task(run_sync(waits, other, *events))

    def pinned(other: str) -> None:
        with django_loom.pin(alias):
            await_(both(other))

    async def main() -> None:
        with second_alias("other", OPTIONS={"pool": {"max_size": 1, "timeout": 2}}) as other:
            if shares == "a block":
                async with django_loom.atomic():
                    await both(other)
            elif shares == "a pin":
                await run_sync(pinned, other)
            else:
                await both(other)
            await aeventually(lambda: in_use(alias) + in_use(other) == 0)
        assert await Author.objects.using(alias).acount() == 2

    loop_runner(main)


def test_transactions_on_both_end_independently(loop_runner: LoopRunner) -> None:
    async def body() -> None:
        async with django_loom.atomic("default"):
            await Author.objects.acreate(name="undone")
            async with django_loom.atomic("other"):
                await OTHER.acreate(name="kept")
            raise Undo

    async def main() -> None:
        with pytest.raises(Undo):
            await body()
        assert await Author.objects.acount() == 0
        assert await OTHER.acount() == 1

    loop_runner(main)


def test_a_router_sends_reads_and_writes_apart(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await OTHER.acreate(name="to be read")
        await Author.objects.acreate(name="written")
        assert [author.name async for author in Author.objects.all()] == ["to be read"]
        async with django_loom.atomic():
            await Author.objects.acreate(name="written too")
            assert await Author.objects.acount() == 1
        assert await Author.objects.using("default").acount() == 2

    with override_settings(DATABASE_ROUTERS=[ReadsFromOther()]):
        loop_runner(main)


def test_relations_stay_on_the_database_of_their_object(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        author = await OTHER.acreate(name="Ann")
        await author.books.acreate(title="Looms")
        assert await Book.objects.using("other").acount() == 1
        assert await Book.objects.acount() == 0
        book = await Book.objects.using("other").aget()
        assert (await run_sync(lambda: book.author)).name == "Ann"

    loop_runner(main)


def test_close_all_closes_each_alias_of_the_call(loop_runner: LoopRunner) -> None:
    def sync_code() -> None:
        backend_pid("default"), backend_pid("other")
        connections.close_all()
        assert (in_use("default"), in_use("other")) == (0, 0)

    async def main() -> None:
        await run_sync(sync_code)

    loop_runner(main)


def test_on_commit_belongs_to_its_alias(loop_runner: LoopRunner) -> None:
    calls: list[str] = []

    async def main() -> None:
        async with django_loom.atomic("default"), django_loom.atomic("other"):
            transaction.on_commit(lambda: calls.append("default"), using="default")
            transaction.on_commit(lambda: calls.append("other"), using="other")
        assert calls == ["other", "default"]

    loop_runner(main)


def test_an_unknown_alias_is_an_error(loop_runner: LoopRunner) -> None:
    async def enter() -> None:
        async with django_loom.atomic("nowhere"):
            pass

    async def main() -> None:
        with pytest.raises(ConnectionDoesNotExist):
            await Author.objects.using("nowhere").acount()
        with pytest.raises(ConnectionDoesNotExist):
            await enter()
        with pytest.raises(ConnectionDoesNotExist):
            django_loom.pool("nowhere")

    loop_runner(main)


def test_a_database_renamed_under_its_alias_gets_another_pool(loop_runner: LoopRunner) -> None:
    """The test runner does so, from `NAME` to `TEST["NAME"]` and back."""
    sql = "SELECT current_database()"
    with second_alias() as alias:
        entry = settings.DATABASES[alias]
        first, second = entry["NAME"], settings.DATABASES["other"]["NAME"]
        assert loop_runner(run_sync(ask, sql, using=alias)) == first
        assert ask(sql, using=alias) == first
        connections[alias].close()
        entry["NAME"] = second
        assert loop_runner(run_sync(ask, sql, using=alias)) == second
        assert ask(sql, using=alias) == second
        connections[alias].close()


def test_the_databases_of_the_tests_have_the_names_that_test_settings_give() -> None:
    names = [settings.DATABASES[alias]["NAME"] for alias in ("default", "other")]
    assert all(name.startswith("test_") for name in names)
    assert [ask("SELECT current_database()", using=a) for a in ("default", "other")] == names
