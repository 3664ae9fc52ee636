"""A synchronous iterator keeps its transaction and cursor from its first part to its close()."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from django_loom import in_thread, on_loop, run_sync
from django_loom.asgi import get_asgi_application
from django_loom.http import channel as channel_module
from django_loom.http.channel import AHEAD_BYTES
from tests.db.support import ask, backend_pid, in_use
from tests.http.asgi import Connection, Message, start
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Marker

pytestmark = pytest.mark.usefixtures("db_tables", "sqlite_tables")

PARTS = 4
FILL = b" " * (AHEAD_BYTES // 2)
made: dict[str, list[Any]] = {}
ended: dict[str, str] = {}


def write(owner: int, step: int) -> tuple[int, ...]:
    """Write a row, and return which connection and transaction did."""
    Marker.objects.create(owner=owner, step=step)
    return ask("SELECT pg_backend_pid()"), ask("SELECT txid_current()")


@contextmanager
def atomic(owner: int) -> Iterator[Callable[[int], Any]]:
    with transaction.atomic():
        yield lambda step: (*write(owner, step), connection.in_atomic_block)
    assert not connection.in_atomic_block


@contextmanager
def atomic_on_sqlite(owner: int) -> Iterator[Callable[[int], Any]]:
    """One at a time, as SQLite has one writer."""

    def look(step: int) -> Any:
        Marker.objects.using("sqlite").create(owner=owner, step=step)
        return id(connections["sqlite"].connection), connections["sqlite"].in_atomic_block

    with transaction.atomic("sqlite"):
        yield look
    assert not connections["sqlite"].in_atomic_block


@contextmanager
def savepoint(owner: int) -> Iterator[Callable[[int], Any]]:
    with transaction.atomic(), transaction.atomic():
        yield lambda step: (*write(owner, step), len(connection.savepoint_ids))


@contextmanager
def cursor(owner: int) -> Iterator[Callable[[int], Any]]:
    """Of the server, outside of a transaction."""
    with closing(Marker.objects.order_by("pk").iterator(chunk_size=1)) as rows:
        first = next(rows).owner

        def look(step: int) -> Any:
            assert next(rows).step == step + 1
            return first

        yield look


@contextmanager
def cursor_in_atomic(owner: int) -> Iterator[Callable[[int], Any]]:
    with transaction.atomic(), cursor(owner) as look:
        yield lambda step: (look(step), *write(owner, step))


@contextmanager
def nothing(owner: int) -> Iterator[Callable[[int], Any]]:
    """Each part asks for itself; no connection is needed between two."""

    def look(step: int) -> Any:
        Marker.objects.create(owner=owner, step=step)

    yield look


BLOCKS: dict[str, Any] = {
    "atomic": atomic,
    "atomic on SQLite": atomic_on_sqlite,
    "savepoint": savepoint,
    "cursor": cursor,
    "cursor in atomic": cursor_in_atomic,
    "nothing": nothing,
}
COMMITTED = {  # rows of a stream that is read to its end, left at its second part, failing
    "atomic": {"read": PARTS, "leaves": 0, "raises": 0},
    "atomic on SQLite": {"read": PARTS, "leaves": 0, "raises": 0},
    "savepoint": {"read": PARTS, "leaves": 0, "raises": 0},
    "cursor": {"read": 0, "leaves": 0, "raises": 0},
    "cursor in atomic": {"read": PARTS, "leaves": 0, "raises": 0},
    "nothing": {"read": PARTS, "leaves": 2, "raises": PARTS - 1},
}


def parts(number: str, block: Any, raises: bool) -> Iterator[bytes]:
    ended[number] = "failed"
    try:
        with block(int(number)) as look:
            for step in range(PARTS):
                made.setdefault(number, []).append(look(step))
                yield FILL
                if raises and step == PARTS - 2:
                    raise KeyError("of the generator")
        ended[number] = "through"
    except GeneratorExit:
        ended[number] = "left"
        raise
    except KeyError:
        ended[number] = "raised"
        raise


def stream(request: HttpRequest) -> StreamingHttpResponse:
    block = BLOCKS[request.GET["block"]]
    return StreamingHttpResponse(parts(request.GET["n"], block, request.GET["end"] == "raises"))


def pay(request: HttpRequest) -> HttpResponse:
    Marker.objects.create(owner=-1)
    return HttpResponse(str(connection.in_atomic_block))


urlpatterns = [
    path("loop", on_loop(stream)),
    path("thread", in_thread(stream)),
    path("loop/pay", on_loop(pay)),
    path("thread/pay", in_thread(pay)),
]


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # However long a part takes, two are made before the flow waits for its client.
    monkeypatch.setattr(channel_module, "TURN_SECONDS", float("inf"))
    made.clear()
    ended.clear()
    connections.close_all()  # a test before may have left this thread one
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[],
        ALLOWED_HOSTS=["testserver"],
        LOOM={"THREADS": 1, "STREAM_THREADS": 20},
    ):
        yield


class Client(Connection):
    """Stays at the first part until it is let, or leaves."""

    def __init__(self, stays: bool) -> None:
        super().__init__({"type": "http.request"})
        self.go = asyncio.Event()
        if not stays:
            self.go.set()

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message.get("more_body"):
            await self.go.wait()


async def exchange(application: Any, place: str, block: str, end: str, number: str) -> None:
    client = Client(stays=end == "leaves")
    url = f"/{place}?n={number}&block={block}&end={end}"
    task = start(client, "GET", url, application=application)
    if end == "leaves":
        await aeventually(lambda: len(made.get(number, ())) == 2)
        client.leave()
        await task
    elif end == "raises":
        with pytest.raises(KeyError, match="of the generator"):
            await task
    else:
        await task
        assert client.complete
        assert client.content == FILL * PARTS


def fill() -> None:
    Marker.objects.bulk_create(Marker(owner=-2, step=step) for step in range(PARTS + 2))


@pytest.mark.parametrize("place", ["loop", "thread"])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("number", [1, 20], ids=["one", "twenty"])
@pytest.mark.parametrize("end", ["read", "leaves", "raises"])
def test_a_stream_in_a_block(
    loop_runner: LoopRunner, place: str, block: str, number: int, end: str
) -> None:
    """Twenty are more than there are connections: some wait, and all come to their end."""
    using = "sqlite" if "SQLite" in block else "default"

    async def main() -> None:
        await run_sync(fill)
        application = get_asgi_application()
        names = [str(each) for each in range(number)]
        await asyncio.gather(*(exchange(application, place, block, end, name) for name in names))
        assert in_use(using) == 0
        written = Marker.objects.using(using).filter(owner__gte=0)
        rows = await run_sync(lambda: list(written.values_list("owner")))
        expected = COMMITTED[block][end]
        assert sorted(rows) == sorted((each,) for each in range(number) for _ in range(expected))
        assert await run_sync(lambda: connections[using].in_atomic_block) is False

    loop_runner(main)
    assert set(ended.values()) == {{"read": "through", "leaves": "left", "raises": "raised"}[end]}
    for each in made.values():
        assert len(set(each)) == 1, "another connection or transaction at another part"


@pytest.mark.parametrize("place", ["loop", "thread"])
@pytest.mark.parametrize("block", ["atomic", "cursor in atomic"])
@pytest.mark.parametrize("end", ["read", "leaves"])
def test_others_commit_while_a_stream_has_a_transaction_open(
    loop_runner: LoopRunner, place: str, block: str, end: str
) -> None:
    async def main() -> None:
        await run_sync(fill)
        application = get_asgi_application()
        client = Client(stays=True)
        url = f"/{place}?n=1&block={block}&end={end}"
        task = start(client, "GET", url, application=application)
        await aeventually(lambda: len(made.get("1", ())) == 2)
        assert in_use() == 1
        for other in ("loop/pay", "thread/pay") * 2:
            answer = Client(stays=False)
            await start(answer, "GET", f"/{other}", application=application)
            assert answer.content == b"False"
        paid = await run_sync(Marker.objects.filter(owner=-1).count)
        assert paid == 4
        if end == "leaves":
            client.leave()
        client.go.set()
        await task
        assert await run_sync(Marker.objects.filter(owner=-1).count) == 4
        assert in_use() == 0

    loop_runner(main)


@pytest.mark.parametrize("place", ["loop", "thread"])
def test_a_stream_that_waits_for_its_client_keeps_no_idle_connection(
    loop_runner: LoopRunner, place: str
) -> None:
    async def main() -> None:
        await run_sync(backend_pid)
        client = Client(stays=True)
        task = start(client, "GET", f"/{place}?n=1&block=nothing&end=read")
        await aeventually(lambda: len(made.get("1", ())) == 2)
        await aeventually(lambda: in_use() == 0)
        assert not task.done()
        client.go.set()
        await task

    loop_runner(main)
