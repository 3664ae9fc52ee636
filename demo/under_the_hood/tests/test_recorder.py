"""Each request's queries, hops and threads go to its own record."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import skipUnless

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.test import SimpleTestCase, TestCase

from demo.under_the_hood.recorder import current, recording
from demo.under_the_hood.records import Record
from django_loom import run_sync

User = get_user_model()


class QueryTests(TestCase):
    """Queries are timed in the context that runs them."""

    async def test_queries_of_two_requests_at_the_same_time_do_not_mix(self) -> None:
        both_began = asyncio.Barrier(2)

        async def request(path: str, queries: int) -> list[str]:
            with recording("GET", path) as record:
                await both_began.wait()
                for number in range(queries):
                    await User.objects.filter(username=f"{path}{number}").aexists()
                    await asyncio.sleep(0)
            assert record.queries == queries
            return [note.what for note in record.query_notes]

        first, second = await asyncio.gather(request("/a", 2), request("/b", 5))
        assert (len(first), len(second)) == (2, 5)
        assert all("auth_user" in sql for sql in first + second)

    async def test_queries_of_gathered_tasks_belong_to_their_request(self) -> None:
        with recording("GET", "/") as record:
            await asyncio.gather(*(User.objects.acount() for _ in range(3)))
        assert record.queries == 3

    async def test_queries_outside_are_not_counted(self) -> None:
        with recording("GET", "/") as record:
            await User.objects.acount()
        await User.objects.acount()
        assert record.queries == 1

    async def test_a_task_that_outlives_its_request_is_not_counted_further(self) -> None:
        over = asyncio.Event()

        async def outlive() -> int:
            await over.wait()
            return await User.objects.acount()

        with recording("GET", "/") as record:
            task = asyncio.create_task(outlive())
            await asyncio.sleep(0)
            record.finish(200)
        over.set()
        assert await task == 0
        assert (record.queries, record.driver_calls) == (0, 0)

    async def test_parameters_are_not_kept(self) -> None:
        with recording("GET", "/") as record:
            await User.objects.filter(username="a secret").aexists()
        assert "secret" not in record.query_notes[0].what

    def test_a_query_that_fails_is_noted_as_such(self) -> None:
        with (
            recording("GET", "/") as record,
            pytest.raises(DatabaseError),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT nothing FROM nowhere")
        assert record.query_notes[0].failed
        assert record.query_notes[0].ended is not None


class DriverCallTests(SimpleTestCase):
    """The calls of a driver that cannot wait."""

    databases = {"default"}

    @skipUnless(connection.vendor == "sqlite", "the drivers of other databases wait on the loop")
    def test_they_are_kept_apart_from_hops(self) -> None:
        # An async test method is its thread's, where nothing waits on the loop.
        record = asyncio.run(self.record_a_query())
        assert record.driver_calls > 0
        assert len(record.driver_threads) == 1
        assert (record.hops, record.threads) == (0, [])

    async def record_a_query(self) -> Record:
        with tempfile.TemporaryDirectory() as folder, recording("GET", "/") as record:
            await run_sync(query_a_file, Path(folder) / "a.sqlite3")
        return record


def query_a_file(path: Path) -> None:
    """Query an SQLite database that the tests' own, which is in memory, does not stand for."""
    own = connection.copy()
    own.settings_dict["NAME"] = str(path)
    with own.cursor() as cursor:
        cursor.execute("SELECT 1")
    own.close()


class HopTests(SimpleTestCase):
    """Functions that are handed to threads, and threads that start."""

    async def test_each_way_to_a_thread_is_one_hop(self) -> None:
        with recording("GET", "/") as record:
            await asyncio.to_thread(int)
            await sync_to_async(int, thread_sensitive=False)()
            await asyncio.get_running_loop().run_in_executor(None, int)
        assert record.hops == 3
        assert record.driver_calls == 0
        assert all(note.ended is not None for note in record.hop_notes)

    async def test_hops_of_two_requests_in_one_thread_do_not_mix(self) -> None:
        with ThreadPoolExecutor(1) as executor:
            loop = asyncio.get_running_loop()
            both_began = asyncio.Barrier(2)

            async def request(hops: int) -> int:
                with recording("GET", "/") as record:
                    await both_began.wait()
                    for _ in range(hops):
                        await loop.run_in_executor(executor, int)
                return record.hops

            assert await asyncio.gather(request(1), request(4)) == [1, 4]

    async def test_what_a_function_in_a_thread_hands_on_counts_as_well(self) -> None:
        def hand_on() -> None:
            with ThreadPoolExecutor(1, thread_name_prefix="inner") as inner:
                inner.submit(int).result()

        with recording("GET", "/") as record:
            await asyncio.to_thread(hand_on)
        assert record.hops == 2
        assert "inner_0" in record.threads

    async def test_a_started_thread_is_named(self) -> None:
        with recording("GET", "/") as record:
            thread = threading.Thread(target=int, name="a thread of the view")
            thread.start()
            thread.join()
        assert record.threads == ["a thread of the view"]

    def test_nothing_is_recorded_outside(self) -> None:
        with recording("GET", "/") as record:
            assert current() is record
        assert current() is None
        with ThreadPoolExecutor(1) as executor:
            executor.submit(int).result()
        assert (record.hops, record.threads) == (0, [])

    def test_a_request_without_an_answer_is_over_too(self) -> None:
        with pytest.raises(KeyboardInterrupt), recording("GET", "/") as record:
            raise KeyboardInterrupt
        assert record.status is None
        assert record.is_over
