"""Sync ORM use straight in a coroutine raises, and says what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

import django_loom
from tests.db.support import in_use
from tests.loops import LoopRunner
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


def enter_atomic() -> None:
    with transaction.atomic():
        pass


MISUSES: dict[str, tuple[Callable[[], Any], str]] = {
    "cursor": (lambda: connection.cursor(), "run_sync"),
    "chunked cursor": (lambda: connection.chunked_cursor(), "run_sync"),
    "iteration": (lambda: list(Author.objects.all()), "starts with an 'a'"),
    "iterator": (lambda: list(Author.objects.iterator()), "starts with an 'a'"),
    "count": (lambda: Author.objects.count(), "starts with an 'a'"),
    "get": (lambda: Author.objects.get(pk=1), "aget"),
    "save": (lambda: Author(name="Ann").save(), "asave"),
    "create": (lambda: Author.objects.create(name="Ann"), "starts with an 'a'"),
    "delete": (lambda: Author.objects.all().delete(), "starts with an 'a'"),
    "atomic": (enter_atomic, r"async with django_loom\.atomic\(\)"),
    "connect": (lambda: connection.connect(), "run_sync"),
    "autocommit": (lambda: transaction.get_autocommit(), "run_sync"),
}
misuses = pytest.mark.parametrize(("misuse", "cure"), MISUSES.values(), ids=MISUSES)


@misuses
def test_in_a_coroutine(loop_runner: LoopRunner, misuse: Callable[[], Any], cure: str) -> None:
    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=cure):
            misuse()
        assert in_use() == 0
        assert await Author.objects.acount() == 0

    loop_runner(main)


@misuses
def test_in_a_transaction_of_async_code(
    loop_runner: LoopRunner, misuse: Callable[[], Any], cure: str
) -> None:
    """The connection is open then: whatever would wait must still be refused."""

    async def main() -> None:
        async with django_loom.atomic():
            await Author.objects.acount()
            with pytest.raises(SynchronousOnlyOperation, match=cure):
                misuse()
        assert await Author.objects.acount() == 0

    loop_runner(main)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: transaction.commit(),
        lambda: transaction.rollback(),
        lambda: transaction.set_autocommit(False),
        lambda: connection.savepoint(),
    ],
    ids=["commit", "rollback", "set_autocommit", "savepoint"],
)
def test_transactions_by_hand(loop_runner: LoopRunner, misuse: Callable[[], Any]) -> None:
    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            misuse()
        async with django_loom.atomic():
            with pytest.raises(SynchronousOnlyOperation):
                misuse()

    loop_runner(main)


def test_closing_the_connection_of_a_transaction(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with django_loom.atomic():
            await Author.objects.acreate(name="Ann")
            with pytest.raises(SynchronousOnlyOperation):
                connections.close_all()
        assert await Author.objects.acount() == 1

    loop_runner(main)


def test_a_coroutine_can_read_the_attributes_of_the_connection(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        assert connection.vendor == "postgresql"
        assert connection.settings_dict["ENGINE"] == "django_loom.db.postgresql"
        assert connection.in_atomic_block is False
        async with django_loom.atomic():
            assert connection.in_atomic_block is True
        assert isinstance(connections["default"], BaseDatabaseWrapper)
        assert in_use() == 0

    loop_runner(main)


def test_django_allow_async_unsafe_is_obeyed(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in notebooks: it blocks the loop, on the thread's own connection."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

    async def main() -> None:
        Author.objects.create(name="Ann")
        with transaction.atomic():
            assert Author.objects.count() == 1
        connection.close()

    loop_runner(main)
