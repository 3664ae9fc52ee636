"""`aiterator()`: a server-side cursor in slices, each of them a call of its own."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest
from django.db import connection, transaction

import django_loom
from django_loom import await_, run_sync
from tests.db.support import aask, abackend_pid, ask, in_use, let_others_run, second_alias
from tests.loops import LoopRunner
from tests.testapp.models import Marker

pytestmark = pytest.mark.usefixtures("db_tables")
OPEN_CURSORS = "SELECT count(*) FROM pg_cursors WHERE is_holdable"


def make_rows(count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO testapp_marker (owner, step) SELECT n, 0 FROM generate_series(1, %s) n",
            [count],
        )


def test_200_000_rows_take_a_flat_amount_of_memory(loop_runner: LoopRunner) -> None:
    rows = 200_000

    async def main() -> None:
        await run_sync(make_rows, rows)
        owners = Marker.objects.order_by("pk").values_list("owner", flat=True)
        total, sizes = 0, []
        tracemalloc.start(1)
        try:
            async for owner in owners.aiterator(chunk_size=2000):
                total += owner
                if owner % 20_000 == 0:
                    sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert total == rows * (rows + 1) // 2
        assert max(sizes) < 1.5 * sizes[0] + 100_000

    if loop_runner.kind != "asyncio":
        pytest.skip("memory does not depend on the loop")
    loop_runner(main)


def test_all_rows_come_in_order_from_one_connection(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await run_sync(make_rows, 500)
        uses = django_loom.pool("default").statistics().uses
        owners = []
        async for row in Marker.objects.order_by("pk").aiterator(chunk_size=50):
            owners.append(row.owner)
            assert in_use() == 1
        assert owners == list(range(1, 501))
        assert in_use() == 0
        assert django_loom.pool("default").statistics().uses - uses == 1

    loop_runner(main)


def test_other_calls_between_the_rows_use_other_connections(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await run_sync(make_rows, 10)
        async for row in Marker.objects.order_by("pk").aiterator(chunk_size=2):
            await Marker.objects.filter(pk=row.pk).aupdate(step=row.owner)
            assert in_use() == 1
        assert [row.step async for row in Marker.objects.order_by("pk")] == list(range(1, 11))

    loop_runner(main)


def test_several_iterators_at_once(loop_runner: LoopRunner) -> None:
    async def total() -> int:
        rows = [row.owner async for row in Marker.objects.aiterator(chunk_size=7)]
        return sum(rows)

    async def main() -> None:
        await run_sync(make_rows, 100)
        assert set(await asyncio.gather(*[total() for _ in range(4)])) == {5050}
        assert in_use() == 0

    loop_runner(main)


def test_leaving_half_way_and_closing_gives_the_connection_back(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await run_sync(make_rows, 100)
        lost = django_loom.pool("default").statistics().lost
        rows = Marker.objects.aiterator(chunk_size=10)
        async for _ in rows:
            break
        assert in_use() == 1
        await rows.aclose()
        await let_others_run()  # asyncio closes the generator inside in a task
        assert in_use() == 0
        assert await aask(OPEN_CURSORS) == 0
        assert await abackend_pid()
        assert django_loom.pool("default").statistics().lost - lost <= 1

    loop_runner(main)


def test_leaving_half_way_and_forgetting_gives_the_connection_back(
    loop_runner: LoopRunner,
) -> None:
    async def first_row() -> Marker:
        async for row in Marker.objects.aiterator(chunk_size=10):
            return row
        raise AssertionError("no rows")

    async def main() -> None:
        await run_sync(make_rows, 100)
        await first_row()
        gc.collect()
        await let_others_run()
        assert in_use() == 0
        assert await Marker.objects.acount() == 100

    loop_runner(main)


def test_a_loop_that_ends_during_an_iteration_loses_no_place_in_the_pool(
    loop_runner: LoopRunner,
) -> None:
    kept = []

    async def main() -> None:
        await run_sync(make_rows, 100)
        rows = Marker.objects.aiterator(chunk_size=10)
        kept.append(rows)
        await anext(rows)

    loop_runner(main)
    kept.clear()
    gc.collect()
    assert in_use() == 0
    assert loop_runner(Marker.objects.acount) == 100


def test_an_exception_in_the_body_gives_the_connection_back(loop_runner: LoopRunner) -> None:
    async def fail() -> None:
        async for row in Marker.objects.aiterator(chunk_size=10):
            row.owner / 0

    async def main() -> None:
        await run_sync(make_rows, 100)
        with pytest.raises(ZeroDivisionError):
            await fail()
        gc.collect()
        await let_others_run()
        assert in_use() == 0
        assert await Marker.objects.acount() == 100

    loop_runner(main)


def test_in_a_transaction_it_uses_the_transactions_connection(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            await run_sync(make_rows, 20)
            pid = await abackend_pid()
            count = 0
            async for _ in Marker.objects.aiterator(chunk_size=3):
                assert await abackend_pid() == pid
                count += 1
            assert (count, in_use()) == (20, 1)
            rows = Marker.objects.aiterator(chunk_size=3)
            await anext(rows)
            await rows.aclose()
            await let_others_run()
            assert await abackend_pid() == pid
            await asyncio.gather(*[Marker.objects.aget(owner=n) for n in range(1, 5)])
        assert await Marker.objects.acount() == 20

    loop_runner(main)


def test_iterator_in_sync_code_gives_its_connection_back(loop_runner: LoopRunner) -> None:
    def sync_code() -> int:
        rows = Marker.objects.iterator(chunk_size=10)
        next(rows)
        return sum(1 for _ in rows) + in_use()

    def left_half_way() -> None:
        for _ in Marker.objects.iterator(chunk_size=10):
            break

    async def main() -> None:
        await run_sync(make_rows, 100)
        assert await run_sync(sync_code) == 100
        await run_sync(left_half_way)
        gc.collect()
        assert in_use() == 0

    loop_runner(main)


def test_without_server_side_cursors_the_rows_come_too(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        await run_sync(make_rows, 100)
        rows = Marker.objects.using(alias).aiterator(chunk_size=10)
        assert len([row async for row in rows]) == 100
        assert in_use(alias) == 0

    with second_alias(DISABLE_SERVER_SIDE_CURSORS=True) as alias:
        loop_runner(main)


def test_iterating_in_plain_threads_works_with_a_pool(loop_runner: LoopRunner) -> None:
    def in_thread() -> int:
        try:
            return sum(1 for _ in Marker.objects.iterator(chunk_size=10))
        finally:
            connection.close()

    async def main() -> None:
        await run_sync(make_rows, 100)
        assert await asyncio.to_thread(in_thread) == 100
        assert in_use() == 0

    loop_runner(main)


def test_a_named_cursor_in_a_block_sees_the_blocks_rows(loop_runner: LoopRunner) -> None:
    def sync_code() -> list[int]:
        with transaction.atomic():
            make_rows(3)
            return [row.owner for row in Marker.objects.order_by("pk").iterator(chunk_size=1)]

    async def main() -> None:
        assert await run_sync(sync_code) == [1, 2, 3]
        assert await run_sync(ask, OPEN_CURSORS) == 0

    loop_runner(main)


def test_an_iterator_in_sync_code_keeps_its_connection_over_an_await(
    loop_runner: LoopRunner,
) -> None:
    async def elsewhere() -> int:
        await Marker.objects.filter(owner=1).aupdate(step=1)
        return in_use()

    def sync_code() -> list[int]:
        owners = []
        for row in Marker.objects.order_by("pk").iterator(chunk_size=2):
            owners.append(row.owner)
            assert await_(elsewhere()) == 1
        return owners

    async def main() -> None:
        await run_sync(make_rows, 10)
        assert await run_sync(sync_code) == list(range(1, 11))
        assert in_use() == 0

    loop_runner(main)


def test_a_cursor_that_is_only_forgotten_gives_the_connection_back(
    loop_runner: LoopRunner,
) -> None:
    def forget() -> None:
        cursor = connection.chunked_cursor()
        cursor.execute("SELECT generate_series(1, 1000)")

    async def main() -> None:
        await run_sync(forget)
        assert in_use() == 0
        assert await aask(OPEN_CURSORS) == 0

    loop_runner(main)
