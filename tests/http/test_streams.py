"""Synchronous parts, made in a thread or in a greenlet, sent from the loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import pytest
from django.core.signals import request_finished
from django.http import HttpRequest, StreamingHttpResponse
from django.test import RequestFactory

from django_loom import await_
from django_loom.exceptions import ClientDisconnected
from django_loom.http import channel as channel_module
from django_loom.http.channel import AHEAD_BYTES, PartChannel
from django_loom.http.hooks import DatabaseHooks
from django_loom.http.streams import SyncStreams
from django_loom.http.view_threads import ThreadUse, ViewThreads
from tests.loops import LoopRunner
from tests.polling import aeventually

Message = dict[str, Any]
everywhere = pytest.mark.parametrize("place", ["loop", "thread"])


class Sender:
    """Sends streams, without a handler; notes each message, and may hold or refuse one."""

    def __init__(
        self,
        place: str,
        *,
        threads: int = 5,
        queue: int = 5,
        leases: Callable[[], AbstractContextManager[None]] = nullcontext,
        before_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.in_thread = place == "thread"
        self.threads = ViewThreads(threads, queue, leases, ThreadUse.STREAMS)
        self.view_threads = ViewThreads(1, queue, leases)
        hooks: Any = DatabaseHooks(Any, leases, before_wait, Any)  # type: ignore[arg-type]
        self.streams = SyncStreams(hooks, self.threads, self.view_threads)
        self.messages: list[Message] = []
        self.taken = 0  # bytes that the client has
        self.hold: asyncio.Event | None = None
        self.refuse_at = -1

    async def __aenter__(self) -> Sender:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.threads.close()
        self.view_threads.close()

    async def send(self, message: Message) -> None:
        if len(self.messages) == self.refuse_at:
            raise ClientDisconnected("gone")
        self.messages.append(message)
        if self.hold is not None:
            await self.hold.wait()
        self.taken += len(message.get("body", b""))

    def start(
        self, source: Any, method: str = "GET", response: StreamingHttpResponse | None = None
    ) -> asyncio.Task[None]:
        request: HttpRequest = RequestFactory().generic(method, "/")
        response = response or StreamingHttpResponse(source)
        response._handler_class = Sender  # type: ignore[attr-defined]
        return asyncio.create_task(
            self.streams.send(
                request, response, self.send, in_thread=self.in_thread, at_the_end=lambda: None
            )
        )

    @property
    def parts(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:] if message.get("more_body")]

    @property
    def content(self) -> bytes:
        return b"".join(self.parts)

    @property
    def is_complete(self) -> bool:
        last = self.messages[-1]
        return last["type"] == "http.response.body" and not last.get("more_body")


def sends_whole(runner: LoopRunner, place: str, parts: list[bytes]) -> list[bytes]:
    async def main() -> list[bytes]:
        async with Sender(place) as sender:
            await sender.start(iter(parts))
            assert sender.is_complete
            return sender.parts

    batches: list[bytes] = runner(main)
    assert b"".join(batches) == b"".join(parts)
    return batches


@everywhere
def test_quick_parts_come_in_few_batches_in_their_order(
    loop_runner: LoopRunner, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "TURN_SECONDS", float("inf"))
    parts = [b"%d," % number for number in range(50_000)]
    batches = sends_whole(loop_runner, place, parts)
    if place == "loop":  # from a thread, the loop takes what has come so far
        assert len(batches) == len(b"".join(parts)) // AHEAD_BYTES + 1


@everywhere
@pytest.mark.parametrize("turn", [-1.0, 60.0])
@pytest.mark.parametrize("parts", [[], [b""], [b"", b"one", b""], [b"x" * 200_000] * 3])
def test_all_parts_come(
    loop_runner: LoopRunner,
    place: str,
    parts: list[bytes],
    turn: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "TURN_SECONDS", turn)
    sends_whole(loop_runner, place, parts)


def test_code_on_the_loop_that_takes_long_lets_others_have_a_turn_after_each_part(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "TURN_SECONDS", -1.0)
    assert sends_whole(loop_runner, "loop", [b"one", b"two"]) == [b"one", b"two"]


@everywhere
def test_a_part_is_sent_before_the_next_is_made(loop_runner: LoopRunner, place: str) -> None:
    async def main() -> None:
        go: Any = threading.Event() if place == "thread" else asyncio.Event()

        def source() -> Iterator[bytes]:
            for number in range(20):
                yield b"%d," % number
                if place == "thread":
                    assert go.wait(30)
                else:
                    await_(go.wait())
                go.clear()

        async with Sender(place) as sender:
            task = sender.start(source())
            expected = b""
            for number in range(20):
                expected += b"%d," % number
                await aeventually(lambda: sender.content == expected)  # noqa: B023
                go.set()
            await task
            assert sender.content == expected

    loop_runner(main)


@everywhere
@pytest.mark.parametrize("size", [1, 1000, 2**14, 2**17])
def test_no_more_is_made_ahead_of_a_slow_client_than_the_bound(
    loop_runner: LoopRunner, place: str, size: int
) -> None:
    made = 0

    def source() -> Iterator[bytes]:
        nonlocal made
        for _ in range(5 * AHEAD_BYTES // size):
            made += size
            yield b"x" * size

    async def main() -> None:
        async with Sender(place) as sender:
            sender.hold = asyncio.Event()
            task = sender.start(source())
            while not task.done():
                for _ in range(20):
                    await asyncio.sleep(0)
                assert made <= sender.taken + AHEAD_BYTES + size
                sender.hold.set()
                await asyncio.sleep(0)
                sender.hold.clear()
            await task
            assert len(sender.content) == made

    loop_runner(main)


@everywhere
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_error_comes_after_the_parts_before_it_and_no_end(
    loop_runner: LoopRunner, place: str, parts: int
) -> None:
    def source() -> Iterator[bytes]:
        yield from [b"part"] * parts
        raise KeyError("mine")

    async def main() -> None:
        async with Sender(place) as sender:
            with pytest.raises(KeyError, match="mine"):
                await sender.start(source())
            assert sender.content == b"part" * parts
            assert not sender.is_complete

    loop_runner(main)


@everywhere
def test_an_error_after_the_client_has_left_is_logged_and_not_the_loops(
    loop_runner: LoopRunner, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    def source() -> Iterator[bytes]:
        yield b"part"
        raise KeyError("mine")

    async def main() -> None:
        async with Sender(place) as sender:
            sender.refuse_at = 1
            with pytest.raises(ClientDisconnected):
                await sender.start(source())
        gc.collect()
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING, "django_loom"):
        loop_runner(main)
    # A thread may be told of the leaving before it comes to the error.
    assert [record.levelname for record in caplog.records] in (["WARNING"], [])


def test_a_cancelled_sender_waits_for_the_thread_in_the_iterator(loop_runner: LoopRunner) -> None:
    begun, go = threading.Event(), threading.Event()
    closed = []

    def source() -> Iterator[bytes]:
        try:
            begun.set()
            assert go.wait(30)
            yield b"late"
        finally:
            closed.append(threading.get_ident())

    async def main() -> None:
        async with Sender("thread") as sender:
            task = sender.start(source())
            await aeventually(begun.is_set)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert not task.done()
            assert sender.threads.statistics().used == 1
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(closed) == 1
            assert sender.content == b""

    loop_runner(main)


def test_a_cancelled_sender_cancels_the_wait_of_the_flow_each_time(
    loop_runner: LoopRunner,
) -> None:
    seen: list[str] = []

    def wait(what: str) -> None:
        try:
            await_(asyncio.Event().wait())
        finally:
            seen.append(what)

    def source() -> Iterator[bytes]:
        try:
            yield b"one"
            wait("in the midst")
        finally:
            wait("in the end")

    async def main() -> None:
        async with Sender("loop") as sender:
            task = sender.start(source())
            await aeventually(lambda: sender.content)
            task.cancel()
            await aeventually(lambda: seen)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert seen == ["in the midst", "in the end"]

    loop_runner(main)


@everywhere
def test_closing_is_not_cancelled(loop_runner: LoopRunner, place: str) -> None:
    """Nothing in there is the client's, and what is left out would be left open."""
    events: list[str] = []
    go, flag = threading.Event(), asyncio.Event

    async def main() -> None:
        let = flag()

        class Source:
            def __iter__(self) -> Iterator[bytes]:
                return iter([b"part"])

            def close(self) -> None:
                events.append("closing")
                if place == "thread":
                    assert go.wait(30)
                else:
                    await_(let.wait())
                events.append("closed")

        def finished(**named: Any) -> None:
            events.append("finished")

        request_finished.connect(finished, sender=Sender)
        try:
            async with Sender(place) as sender:
                task = sender.start(Source())
                await aeventually(lambda: "closing" in events)
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                assert events == ["closing"]
                go.set()
                let.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
        finally:
            request_finished.disconnect(finished, sender=Sender)
        assert events == ["closing", "closed", "finished"]

    loop_runner(main)


class Noting:
    """An iterator that notes what is done with it, and where.

    It is not through before its client has taken its first part.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[bytes]:
        self._note("begun")
        yield from [b"x" * AHEAD_BYTES] * 2

    def close(self) -> None:
        self._note("closed")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.threads.add(threading.get_ident())


@everywhere
def test_the_iterator_is_not_begun_for_head_and_closed_where_it_belongs(
    loop_runner: LoopRunner, place: str
) -> None:
    async def main() -> None:
        source = Noting()
        async with Sender(place) as sender:
            await sender.start(source, "HEAD")
            assert sender.is_complete
        assert source.events == ["closed"]
        assert (threading.get_ident() in source.threads) == (place == "loop")

    loop_runner(main)


@everywhere
def test_a_head_that_is_refused_closes_the_iterator_once(
    loop_runner: LoopRunner, place: str
) -> None:
    async def main() -> None:
        source = Noting()
        async with Sender(place) as sender:
            sender.refuse_at = 0
            with pytest.raises(ClientDisconnected):
                await sender.start(source)
        assert source.events.count("closed") == 1
        if place == "loop":
            assert source.events == ["closed"]

    loop_runner(main)


@everywhere
@pytest.mark.parametrize("steps", range(6))
def test_cancelled_at_any_time_it_is_closed_once(
    loop_runner: LoopRunner, place: str, steps: int
) -> None:
    async def main() -> None:
        source = Noting()
        async with Sender(place) as sender:
            task = sender.start(source)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        # A task that is cancelled before its first step does nothing at all.
        assert source.events.count("closed") == 1 or (steps == 0 and not source.events)

    loop_runner(main)


@everywhere
def test_a_loop_that_ends_closes_its_streams(loop_runner: LoopRunner, place: str) -> None:
    source = Noting()

    async def main() -> None:
        sender = Sender(place)
        sender.hold = asyncio.Event()
        main.task = sender.start(source)  # type: ignore[attr-defined]
        await aeventually(lambda: sender.messages)
        await asyncio.sleep(0)

    loop_runner(main)
    assert source.events.count("closed") == 1


@everywhere
def test_what_hides_in_an_iterator_without_close_ends_in_its_flow(
    loop_runner: LoopRunner, place: str
) -> None:
    ended: list[int] = []
    running: list[int] = []

    def rows() -> Iterator[str]:
        running.append(threading.get_ident())
        try:
            while True:
                yield "row" * 30_000
        finally:
            ended.append(threading.get_ident())

    async def main() -> None:
        async with Sender(place) as sender:
            response = StreamingHttpResponse(map(str.encode, rows()))
            sender.hold = asyncio.Event()
            task = sender.start(None, response=response)
            await asyncio.sleep(0)
            sender.hold.set()
            await aeventually(lambda: sender.content)
            sender.hold.clear()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended == running

    loop_runner(main)


def test_a_thread_gives_back_what_is_idle_after_each_part(loop_runner: LoopRunner) -> None:
    """Also where it does not wait for its client, as the next part may be long in coming."""
    steps: list[tuple[str, int]] = []

    def source() -> Iterator[bytes]:
        for _ in range(2):
            steps.append(("make", threading.get_ident()))
            yield b"x"

    def before_wait() -> None:
        steps.append(("give back", threading.get_ident()))

    async def main() -> None:
        async with Sender("thread", before_wait=before_wait) as sender:
            await sender.start(source())

    loop_runner(main)
    assert [step for step, _ in steps] == ["make", "give back"] * 2
    assert len({thread for _, thread in steps}) == 1


def test_streams_that_are_too_many_get_503_before_the_head(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with Sender("thread", threads=1, queue=1) as sender:
            sender.hold = asyncio.Event()
            sources = [Noting() for _ in range(3)]
            open_one = sender.start(sources[0])
            await aeventually(lambda: sender.messages)
            waiting = sender.start(sources[1])
            await aeventually(lambda: sender.threads.statistics().pending_requests == 1)
            assert len(sender.messages) == 1
            refused = sender.start(sources[2])
            await aeventually(lambda: len(sender.messages) == 2)
            assert [message["status"] for message in sender.messages] == [200, 503]
            sender.hold.set()
            await asyncio.gather(open_one, waiting, refused)
            assert [each.events for each in sources] == [
                ["begun", "closed"],
                ["begun", "closed"],
                ["closed"],
            ]
            assert sender.threads.statistics().refused == 1

    loop_runner(main)


def test_a_stream_that_leaves_the_queue_is_closed_and_never_begun(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        async with Sender("thread", threads=1) as sender:
            sender.hold = asyncio.Event()
            one, other = Noting(), Noting()
            open_one = sender.start(one)
            await aeventually(lambda: sender.messages)
            waiting = sender.start(other)
            await aeventually(lambda: sender.threads.statistics().pending_requests == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert other.events == ["closed"]
            assert sender.threads.statistics().pending_requests == 0
            sender.hold.set()
            await open_one
            assert other.events == ["closed"]

    loop_runner(main)


def test_a_part_that_arrives_between_the_look_and_the_wait_is_taken(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        channel = PartChannel(lambda: None)
        put: list[bool] = []
        create_future = channel._loop.create_future

        class Loop:
            """The sender has looked, and is about to wait: a thread comes then."""

            call_soon_threadsafe = channel._loop.call_soon_threadsafe

            def create_future(self) -> asyncio.Future[None]:
                thread = threading.Thread(target=lambda: put.append(channel.put(b"part")))
                thread.start()
                return create_future()

        channel._loop = Loop()  # type: ignore[assignment]
        assert await channel.take() == b"part"
        await aeventually(lambda: put == [True])

    loop_runner(main)


@pytest.mark.parametrize("when", ["before", "between the look and the wait"])
def test_a_flow_that_begins_at_once_is_not_waited_for(loop_runner: LoopRunner, when: str) -> None:
    """Its first part may be long in coming, and the head is not to wait for that."""

    async def main() -> None:
        channel = PartChannel(lambda: None)
        loop = channel._loop
        thread = threading.Thread(target=channel.begin)

        class Loop:
            call_soon_threadsafe = loop.call_soon_threadsafe

            def create_future(self) -> asyncio.Future[None]:
                thread.start()
                return loop.create_future()

        if when == "before":
            channel.begin()
        channel._loop = Loop()  # type: ignore[assignment]
        await channel.wait_until_begun()
        if when != "before":
            thread.join()

    loop_runner(main)
