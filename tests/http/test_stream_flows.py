"""A synchronous iterator finds one world from its first part to its close()."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.signals import request_finished
from django.http import HttpRequest, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils import timezone, translation
from greenlet import getcurrent

from django_loom import await_, bridge, in_thread, on_loop
from django_loom.asgi import get_asgi_application
from django_loom.bridge import current_unit
from django_loom.http import channel as channel_module
from django_loom.http.channel import AHEAD_BYTES
from tests.http.asgi import Connection, Message, start
from tests.loops import LoopRunner
from tests.polling import aeventually

PARTS = 4
FILL = b" " * (AHEAD_BYTES // 2)  # so that the flow waits for its client after each second part
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


class World:
    """What one stream has seen: the same at each part, if all is right."""

    def __init__(self, number: str) -> None:
        self.number = number
        self.seen: list[tuple[Any, ...]] = []
        self.ends: list[str] = []
        self.finished: list[tuple[Any, ...]] = []

    def note(self, *seen: Any) -> None:
        self.seen.append(seen)


worlds: dict[str, World] = {}
finishing: contextvars.ContextVar[World | None] = contextvars.ContextVar("finishing", default=None)


# Each is a block of the generator, and gives what tells if it is still in there.


@contextmanager
def context_variable(world: World) -> Iterator[Callable[[], Any]]:
    token = variable.set(world.number)
    yield variable.get
    variable.reset(token)


@contextmanager
def language(world: World) -> Iterator[Callable[[], Any]]:
    zone = timezone.get_fixed_timezone(int(world.number))
    with translation.override(["de", "fr"][int(world.number) % 2]), timezone.override(zone):
        yield lambda: (translation.get_language(), timezone.get_current_timezone_name())


@contextmanager
def bridge_lock(world: World) -> Iterator[Callable[[], Any]]:
    """Kept over the parts: whoever ends it must be who has it."""
    lock = bridge.Lock()
    with lock:
        yield lambda: True
    with lock:  # free again
        pass


@contextmanager
def reentrant_lock(world: World) -> Iterator[Callable[[], Any]]:
    """Only the thread that has an RLock may take it again, or leave it."""
    lock = threading.RLock()
    with lock:
        yield lambda: lock.acquire(blocking=False) and not lock.release()  # type: ignore[func-returns-value]


@contextmanager
def thread_identity(world: World) -> Iterator[Callable[[], Any]]:
    before = threading.get_ident()
    yield threading.get_ident
    assert threading.get_ident() == before


@contextmanager
def greenlet_identity(world: World) -> Iterator[Callable[[], Any]]:
    before = getcurrent()
    yield lambda: id(getcurrent())
    assert getcurrent() is before


BLOCKS = {
    "context variable": context_variable,
    "language": language,
    "Lock": bridge_lock,
    "RLock": reentrant_lock,
    "thread": thread_identity,
    "greenlet": greenlet_identity,
}


def parts(world: World, block: Any, raises: bool) -> Iterator[bytes]:
    finishing.set(world)
    try:
        with block(world) as look:
            try:
                for number in range(PARTS):
                    world.note(look(), current_unit())
                    yield FILL
                    if raises and number == PARTS - 2:
                        raise KeyError("of the generator")
                    pause()
            finally:
                world.note(look(), current_unit())
        world.ends.append("through")
    except GeneratorExit:
        world.ends.append("left")
        raise
    except KeyError:
        world.ends.append("raised")
        raise
    finally:
        world.ends.append("closed")


def pause() -> None:
    """Wait as the code of an iterator does, so that others have their turn."""
    if threading.current_thread() is threading.main_thread():
        await_(asyncio.sleep(0))
    else:
        async_to_sync(asyncio.sleep)(0)


def view(request: HttpRequest) -> StreamingHttpResponse:
    world = worlds[request.GET["n"]]
    block = BLOCKS[request.GET["block"]]
    world.note("in the view", current_unit())
    return StreamingHttpResponse(parts(world, block, request.GET["end"] == "raises"))


urlpatterns = [path("loop", on_loop(view)), path("thread", in_thread(view))]


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # However long a part takes, two are made before the flow waits for its client.
    monkeypatch.setattr(channel_module, "TURN_SECONDS", float("inf"))
    worlds.clear()

    def finished(**named: Any) -> None:
        world = finishing.get()
        if world is not None:
            world.finished.append((threading.get_ident(), id(getcurrent()), current_unit()))

    request_finished.connect(finished)
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ALLOWED_HOSTS=["testserver"],
        LOOM={"THREADS": 1, "STREAM_THREADS": 20},
    ):
        yield
    request_finished.disconnect(finished)


class Client(Connection):
    """Takes each part only after others have had their turn; or begins with one, and is not done.

    The flow of the latter makes two parts, and then waits for its client.
    """

    def __init__(self, end: str) -> None:
        super().__init__({"type": "http.request"})
        self.stays_at_the_first = end == "leaves"

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message.get("more_body") and self.stays_at_the_first:
            await asyncio.Event().wait()
        for _ in range(3):
            await asyncio.sleep(0)


async def exchange(place: str, block: str, end: str, number: str) -> None:
    world = worlds[number] = World(number)
    client = Client(end)
    task = start(client, "GET", f"/{place}?n={number}&block={block}&end={end}", application=app())
    if end == "leaves":
        await aeventually(lambda: len(world.seen) == 3)
        client.leave()
        await task
    elif end == "raises":
        with pytest.raises(KeyError, match="of the generator"):
            await task
    else:
        await task
        assert client.complete
        assert client.content == FILL * PARTS
    assert world.ends[-1:] == ["closed"]


applications: dict[int, Any] = {}


def app() -> Any:
    """One application for each loop, as a server has it."""
    key = id(asyncio.get_running_loop())
    return applications.setdefault(key, get_asgi_application())


@pytest.mark.parametrize("place", ["loop", "thread"])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("number", [1, 20], ids=["one", "twenty"])
@pytest.mark.parametrize("end", ["read", "leaves", "raises"])
def test_one_world(loop_runner: LoopRunner, place: str, block: str, number: int, end: str) -> None:
    async def main() -> None:
        applications.clear()
        names = [str(each) for each in range(number)]
        await asyncio.gather(*(exchange(place, block, end, name) for name in names))

    loop_runner(main)
    ended = {"read": "through", "raises": "raised", "leaves": "left"}[end]
    for world in worlds.values():
        assert world.ends == [ended, "closed"]
        (_, unit), *seen = world.seen
        assert unit is not None
        assert unit.ended
        assert {each[1] for each in seen} == {unit}
        assert len({each[0] for each in seen}) == 1, "another world at another part"
        assert [each[2] for each in world.finished] == [unit], "request_finished, once"
        if block == "thread":
            assert {each[0] for each in seen} == {world.finished[0][0]}
        if block == "greenlet":
            assert {each[0] for each in seen} == {world.finished[0][1]}
    assert len({id(world.seen[0][1]) for world in worlds.values()}) == number


@pytest.mark.parametrize("place", ["loop", "thread"])
def test_a_client_that_leaves_ends_the_wait_of_the_iterator_in_its_flow(
    loop_runner: LoopRunner, place: str
) -> None:
    """Also one for async code that a thread waits for."""
    events: list[Any] = []

    def waiting() -> Iterator[bytes]:
        token = variable.set("mine")
        where = threading.get_ident(), getcurrent()
        try:
            yield b"part"
            events.append("waits")
            if place == "loop":
                await_(asyncio.Event().wait())
            else:
                async_to_sync(asyncio.Event().wait)()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        finally:
            variable.reset(token)
            events.append((threading.get_ident(), getcurrent()) == where)

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(waiting())

    async def main() -> None:
        client = Connection({"type": "http.request"})
        task = start(client, "GET", "/stream")
        await aeventually(lambda: "waits" in events and client.receiving)
        client.leave()
        await task
        assert events == ["waits", "cancelled", True]

    mark: Any = {"loop": on_loop, "thread": in_thread}[place]
    with override_settings(
        ROOT_URLCONF=type("urls", (), {"urlpatterns": [path("stream", mark(stream))]})
    ):
        loop_runner(main)


def test_streams_that_wait_for_their_clients_keep_no_thread_of_views(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        application = get_asgi_application()
        go = asyncio.Event()

        class Slow(Connection):
            async def send(self, message: Message) -> None:
                await super().send(message)
                await go.wait()

        for name in ("1", "2"):
            worlds[name] = World(name)
        slow = [Slow({"type": "http.request"}) for _ in range(2)]
        open_ones = [
            start(each, "GET", f"/thread?n={n}&block=thread&end=read", application=application)
            for n, each in enumerate(slow, 1)
        ]
        await aeventually(lambda: application.stream_threads.statistics().used == 2)
        await aeventually(lambda: application.threads.statistics().used == 0)
        go.set()
        await asyncio.gather(*open_ones)
        assert application.stream_threads.statistics().used == 0

    loop_runner(main)
