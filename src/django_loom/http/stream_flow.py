"""One flow for a synchronous iterator that is streamed, from its first part to its close()."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.http import StreamingHttpResponse

from django_loom.bridge import current_call

from .channel import PartChannel

Run = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class FlowPlace:
    """Where a flow runs: both call a function there, in one greenlet or one thread.

    ``stream`` may refuse. ``finish`` is for a flow that only closes its response.
    """

    in_thread: bool
    stream: Run
    finish: Run


class FlowState(Enum):
    """How far a flow is."""

    NEW = "it has not begun"
    MAKING = "it runs the iterator's code, or hands on a part"
    CLOSING = "it closes the response"
    ENDED = "it is through"


class StreamFlow:
    """Makes the parts of a response, and closes it: one context, one greenlet or thread.

    The iterator may have a transaction open, hold a lock or have set a context variable,
    and end that in its ``finally``: it has to find the same world there.
    """

    def __init__(
        self, response: StreamingHttpResponse, place: FlowPlace, before_wait: Callable[[], None]
    ) -> None:
        """Make a flow that has not begun.

        :param before_wait: called in a thread whenever it may begin to wait.
        """
        self.state = FlowState.NEW
        self.failed = False
        self.channel = PartChannel(give_back_in_call)
        self._response = response
        self._place = place
        self._before_wait = before_wait if place.in_thread else None
        self._task: asyncio.Task[None] | None = None
        self._wanted = True
        self._interrupted = False
        self._is_taken = threading.Lock()  # by whoever runs the flow, for good

    @property
    def is_started(self) -> bool:
        """Whether the flow is on its way to its place, or there."""
        return self._task is not None

    def start(self) -> None:
        """Let the flow begin, in a task with a copy of the caller's context."""
        self._run(self._place.stream)

    async def begun(self) -> None:
        """Return when the flow has begun, which may be long after ``start()``.

        :raises ThreadsBusy: there is no place for it.
        """
        await self.channel.wait_until_begun()
        if self.state is FlowState.NEW and self._task is not None:
            await self._task

    def leave(self) -> None:
        """End the flow, as its client does not want what is not sent.

        In the midst of a wait it is cancelled. Between two parts its iterator is closed. A
        response that is being closed is left to do that.
        """
        self._wanted = False
        if self.channel.leave() or self._task is None:
            return
        # What waits for a thread gives up its place, and is closed in another.
        if self.state in (FlowState.NEW, FlowState.MAKING):
            # A second cancellation would end the wait for a thread that is in the iterator.
            if not (self._place.in_thread and self._interrupted):
                self._task.cancel()
            self._interrupted = True

    async def ended(self) -> None:
        """Return when the response is closed, which happens here if it was never begun.

        Whoever is cancelled meanwhile waits on, and gets the cancellation afterwards.

        :raises Exception: what the iterator, or the closing, has raised.
        """
        cancellation = await self._until_done()
        if self.state is FlowState.NEW:
            self.state = FlowState.CLOSING
            self._run(self._place.finish)
            cancellation = await self._until_done() or cancellation
        try:
            if cancellation is not None:
                raise cancellation
            if self._task is not None and not (self._task.cancelled() and not self._wanted):
                self._task.result()
        finally:
            del cancellation  # this frame is in its traceback

    async def _until_done(self) -> asyncio.CancelledError | None:
        cancellation = None
        while self._task is not None and not self._task.done():
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError as error:
                cancellation = error
                self.leave()
        return cancellation

    def _run(self, run: Run) -> None:
        self._task = asyncio.get_running_loop().create_task(run(self._flow))
        self._task.add_done_callback(self._after_task)

    def _after_task(self, task: asyncio.Task[None]) -> None:
        if self.state is FlowState.NEW:  # cancelled before it began, or refused
            self.failed = True
            self.channel.end()

    def _flow(self) -> None:
        """Everything that is the flow's."""
        # A task that is cancelled twice says nothing of its thread, which may begin now,
        # while the response is about to be closed elsewhere. One of both comes first.
        if not self._is_taken.acquire(blocking=False):
            return
        try:
            if self._wanted and self.state is FlowState.NEW:
                self.state = FlowState.MAKING
                self.channel.begin()
                self._make()
        except BaseException:
            self.failed = True
            raise
        finally:
            self.state = FlowState.CLOSING
            self.channel.end()
            self._close()
            self.state = FlowState.ENDED

    def _make(self) -> None:
        put, before_wait = self.channel.put, self._before_wait
        for part in self._response.streaming_content:
            # The next part may be long in coming, in a thread without a word to us.
            if before_wait is not None:
                before_wait()
            if not put(part):
                return

    def _close(self) -> None:
        try:
            self._response.close()
        finally:
            # A map() or chain() has no close(): a generator in there ends when it is freed,
            # which is to be here, and not where the response is.
            self._response._iterator = iter(())


def give_back_in_call() -> None:
    """Give back, on the loop, what the flow does not need while it waits for its client."""
    call = current_call()
    if call is not None and call.resources is not None:
        for resource in call.resources.values():
            resource.before_wait()
