"""Django test cases that test_test_cases.py runs: what they see depends on who runs them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.http import HttpRequest, JsonResponse
from django.test import TestCase, TransactionTestCase, override_settings
from django.urls import path

import django_loom
from tests.testapp.models import Author


def names() -> list[str]:
    return sorted(Author.objects.values_list("name", flat=True))


async def anames() -> list[str]:
    return sorted([author.name async for author in Author.objects.all()])


def sync_view(request: HttpRequest) -> JsonResponse:
    Author.objects.create(name=request.GET["add"])
    return JsonResponse({"names": names()})


async def async_view(request: HttpRequest) -> JsonResponse:
    await Author.objects.acreate(name=request.GET["add"])
    found, _ = await asyncio.gather(anames(), Author.objects.acount())
    return JsonResponse({"names": found})


@transaction.atomic
def atomic_view(request: HttpRequest) -> JsonResponse:
    return sync_view(request)


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("atomic/", atomic_view),
]
URLS = ["/sync/", "/async/", "/atomic/"]


class ExampleTests:
    """Each test writes the same unique names: it fails if it finds another's."""

    def add(self, *added: str) -> list[str]:
        return sorted([*self.known, *added])

    def test_sync_code(self) -> None:
        Author.objects.create(name="test")
        assert names() == self.add("test")

    def test_sync_code_again(self) -> None:
        self.test_sync_code()

    async def test_async_code(self) -> None:
        await Author.objects.acreate(name="test")
        assert await anames() == self.add("test")

    async def test_async_code_again(self) -> None:
        await self.test_async_code()

    async def test_tasks_and_threads_of_async_code(self) -> None:
        await asyncio.gather(*[Author.objects.acreate(name=f"{n}") for n in range(3)])
        await asyncio.create_task(Author.objects.acreate(name="task"))
        await sync_to_async(Author.objects.create)(name="thread")
        await django_loom.run_sync(Author.objects.create, name="run_sync")
        expected = self.add("0", "1", "2", "task", "thread", "run_sync")
        assert await anames() == expected
        assert await sync_to_async(names)() == expected

    def test_async_to_sync(self) -> None:
        Author.objects.create(name="test")
        assert async_to_sync(anames)() == self.add("test")

    def test_client(self) -> None:
        for number, url in enumerate(URLS):
            response = self.client.get(url, {"add": f"{number}"})
            assert response.json()["names"] == names()
        assert names() == self.add("0", "1", "2")

    def test_async_client_in_sync_code(self) -> None:
        for number, url in enumerate(URLS):
            response = async_to_sync(self.async_client.get)(url, {"add": f"{number}"})
            assert response.json()["names"] == names()

    async def test_async_client(self) -> None:
        for number, url in enumerate(URLS):
            response = await self.async_client.get(url, {"add": f"{number}"})
            assert response.json()["names"] == await anames()
        assert await anames() == self.add("0", "1", "2")

    async def test_client_in_async_code(self) -> None:
        for number, url in enumerate(URLS):
            response = await sync_to_async(self.client.get)(url, {"add": f"{number}"})
            assert response.json()["names"] == await anames()

    def test_queries_are_counted(self) -> None:
        with self.assertNumQueries(2):
            self.client.get("/sync/", {"add": "sync"})
        with self.assertNumQueries(3):
            self.client.get("/async/", {"add": "test"})

    async def test_queries_of_async_code_are_counted(self) -> None:
        with self.assertNumQueries(4):
            await asyncio.gather(*[Author.objects.acount() for _ in range(3)])
            await anames()
        with self.assertNumQueries(2):
            await self.async_client.get("/sync/", {"add": "test"})

    async def test_a_block_of_async_code_is_undone(self) -> None:
        with pytest.raises(ZeroDivisionError):
            await self.failing_block()
        assert await anames() == self.add()

    async def failing_block(self) -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="undone")
            raise ZeroDivisionError


@override_settings(ROOT_URLCONF=__name__)
class InTransaction(ExampleTests, TestCase):
    databases = {"default", "other"}
    known = ["class"]

    @classmethod
    def setUpTestData(cls) -> None:
        cls.author = Author.objects.create(name="class")

    def test_class_data_is_known_and_fresh(self) -> None:
        self.author.name = "changed"
        self.author.save()
        assert names() == ["changed"]

    def test_another_database(self) -> None:
        Author.objects.using("other").create(name="other")
        count = async_to_sync(self.count_other)()
        assert count == 1

    async def test_another_database_in_async_code(self) -> None:
        assert await self.count_other() == 0
        await Author.objects.using("other").acreate(name="other")
        assert await self.count_other() == 1

    async def count_other(self) -> int:
        return await Author.objects.using("other").acount()

    def test_callbacks_of_on_commit_are_captured(self) -> None:
        calls: list[Any] = []

        async def callback() -> None:
            calls.append(await anames())

        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            transaction.on_commit(callback)
            transaction.on_commit(lambda: calls.append(names()))
            assert calls == []
        assert len(callbacks) == 2
        assert calls == [["class"], ["class"]]

    async def test_callbacks_of_on_commit_in_async_code(self) -> None:
        calls: list[str] = []
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            async with django_loom.atomic():
                transaction.on_commit(lambda: calls.append("called"))
            assert calls == []
        assert (len(callbacks), calls) == (1, ["called"])

    async def test_everything_uses_the_tests_connection(self) -> None:
        def pid() -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                return cursor.fetchone()[0]

        run = django_loom.run_sync
        pids = await asyncio.gather(run(pid), sync_to_async(pid)(), run(pid))
        assert len(set(pids)) == 1

    async def test_an_iterator_left_half_way_does_not_harm_the_transaction(self) -> None:
        await Author.objects.abulk_create([Author(name=f"{n}") for n in range(20)])
        async for _ in Author.objects.aiterator(chunk_size=2):
            break
        await asyncio.sleep(0)
        assert len(await anames()) == 21


@override_settings(ROOT_URLCONF=__name__)
class WithoutTransaction(ExampleTests, TransactionTestCase):
    known: list[str] = []
    available_apps = ["django_loom", "tests.testapp"]  # so that the others keep their rows
