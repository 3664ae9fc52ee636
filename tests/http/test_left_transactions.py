"""A transaction that a view leaves open is rolled back with its request, and the log tells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import Error, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from django_loom import in_thread, on_loop
from tests.db.support import ask, in_use, second_alias
from tests.http.asgi import Connection, start
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

# What the log tells; how a transaction is undone is in tests/db.
pytestmark = [pytest.mark.usefixtures("db_tables", "sqlite_tables"), pytest.mark.one_loop]
OFF = "Autocommit was off on database"
BEGUN = "was open at the end of a unit of work"
alias = "default"


def execute(sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def turn_off() -> None:
    transaction.set_autocommit(False, using=alias)


def begin() -> None:
    execute("BEGIN")


def write() -> None:
    Author.objects.using(alias).create(name="Ann")


def leave_off() -> None:
    turn_off()
    write()


def leave_begun() -> None:
    begin()
    write()


def enter_block() -> None:
    transaction.atomic(alias).__enter__()
    write()


def commit_off() -> None:
    leave_off()
    transaction.commit(using=alias)


def restore() -> None:
    commit_off()
    transaction.set_autocommit(True, using=alias)


def end_begun() -> None:
    leave_begun()
    execute("COMMIT")


def use_atomic() -> None:
    with transaction.atomic(alias):
        write()


def lose() -> None:
    with suppress(Error):
        execute("SELECT pg_terminate_backend(pg_backend_pid())")


def lose_changed() -> None:
    execute("SET search_path TO public")
    lose()


def lose_begun() -> None:
    leave_begun()
    lose()


LEFT = {leave_off: OFF, leave_begun: BEGUN, enter_block: BEGUN}
COMMITTED = [commit_off, restore, end_begun, use_atomic, write]
LOST = [lose, lose_changed, lose_begun]


def view_of(work: Callable[[], None], place: Any) -> Any:
    @place
    def view(request: HttpRequest) -> HttpResponse:
        work()
        return HttpResponse(work.__name__)

    return path(f"{place.__name__}/{work.__name__}", view)


urlpatterns = [
    view_of(work, place) for work in [*LEFT, *COMMITTED, *LOST] for place in (on_loop, in_thread)
]


@pytest.fixture(params=["default", "sqlite"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    global alias
    alias = request.param
    yield alias
    alias = "default"


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    with override_settings(
        ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"], LOOM={"THREADS": 2}
    ):
        yield


def warnings_of(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, place: Any, work: Any
) -> list[str]:
    """What a request logs, at whose end the connection is free."""

    async def main() -> None:
        connection = Connection({"type": "http.request"})
        await start(connection, "GET", f"/{place.__name__}/{work.__name__}")
        assert connection.content == work.__name__.encode()
        await aeventually(lambda: in_use(alias) == 0)

    caplog.clear()
    with caplog.at_level(logging.INFO, "django_loom"):
        loop_runner(main)
    return [each.getMessage() for each in caplog.records if each.name == "django_loom"]


def rows() -> int:
    count: int = ask("SELECT count(*) FROM testapp_author", using=alias)
    connections[alias].close()
    return count


@pytest.mark.parametrize("place", [on_loop, in_thread])
@pytest.mark.parametrize("work", LEFT)
def test_the_log_tells_of_one_that_is_rolled_back(
    loop_runner: LoopRunner,
    caplog: pytest.LogCaptureFixture,
    database: str,
    place: Any,
    work: Any,
) -> None:
    (warning,) = warnings_of(loop_runner, caplog, place, work)
    assert LEFT[work] in warning
    assert repr(database) in warning
    assert f"GET /{place.__name__}/{work.__name__}" in warning
    if place is in_thread or work is not leave_begun:  # of which the line is not noted on a loop
        assert "test_left_transactions.py" in warning
    assert rows() == 0


@pytest.mark.parametrize("place", [on_loop, in_thread])
@pytest.mark.parametrize("work", COMMITTED)
def test_it_says_nothing_where_nothing_is_lost(
    loop_runner: LoopRunner,
    caplog: pytest.LogCaptureFixture,
    database: str,
    place: Any,
    work: Any,
) -> None:
    assert warnings_of(loop_runner, caplog, place, work) == []
    assert rows() == 1


@pytest.mark.parametrize("place", [on_loop, in_thread])
@pytest.mark.parametrize("work", LOST)
def test_it_says_nothing_of_a_connection_that_was_lost_before(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, place: Any, work: Any
) -> None:
    assert warnings_of(loop_runner, caplog, place, work) == []
    assert rows() == 0


@pytest.mark.parametrize("place", [on_loop, in_thread])
@pytest.mark.parametrize("work", LEFT)
def test_it_says_it_once_where_django_keeps_the_connection(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, place: Any, work: Any
) -> None:
    global alias
    with second_alias(CONN_MAX_AGE=None) as alias:
        (warning,) = warnings_of(loop_runner, caplog, place, work)
        assert LEFT[work] in warning
        assert rows() == 0
    alias = "default"


@pytest.mark.parametrize("place", [on_loop, in_thread])
def test_a_project_without_autocommit_reads_without_a_word(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture, place: Any
) -> None:
    global alias
    with second_alias(AUTOCOMMIT=False) as alias:
        assert warnings_of(loop_runner, caplog, place, write) == []
    alias = "default"
