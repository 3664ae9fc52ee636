"""The parts of a streamed body on their way from synchronous code to the loop that sends them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from enum import Enum

from django_loom.bridge import Waiter, current_call

# No more bytes than these are made ahead of what is sent, but for the part that exceeds them.
AHEAD_BYTES = 2**16
# Code on the loop that has had its turn for longer than this lets others have theirs.
TURN_SECONDS = 0.005


class ChannelState(Enum):
    """What can still go through."""

    OPEN = "parts come, and are wanted"
    ENDED = "no more parts come"
    LEFT = "no more parts are wanted"


class PartChannel:
    """Between one flow of synchronous code, which puts parts in, and the coroutine that sends.

    Each part can be taken as soon as it is there. Bytes count as made ahead until the
    next ``take()``, which says that the ones before it are sent.
    """

    def __init__(self, before_wait: Callable[[], None]) -> None:
        """Make a channel on the loop that sends.

        :param before_wait: called in the flow each time before it waits for its client.
        """
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._before_wait = before_wait
        self._lock = threading.Lock()
        self._state = ChannelState.OPEN
        self._has_begun = False
        self._parts: list[bytes] = []
        self._ahead = 0  # bytes that are made and not sent
        self._being_sent = 0  # bytes of those
        self._sender: asyncio.Future[None] | None = None
        self._flow: Waiter | None = None
        self._turn_began: float | None = None  # of a flow on the loop

    @property
    def state(self) -> ChannelState:
        """What can still go through."""
        return self._state

    def begin(self) -> None:
        """Say, in the flow, that the parts are going to be made."""
        if current_call() is not None:
            self._turn_began = time.monotonic()
        with self._lock:
            self._has_begun = True
        self._wake_sender()

    def put(self, part: bytes) -> bool:
        """Hand on a part, and wait while too much is ahead; tell if more is wanted."""
        with self._lock:
            if self._state is not ChannelState.OPEN:
                return False
            self._parts.append(part)
            self._ahead += len(part)
            sender, self._sender = self._sender, None
        if sender is not None:
            self._wake(sender)
        if self._ahead < AHEAD_BYTES and not self._has_had_its_turn():
            return True
        return self._wait_until_sent()

    def end(self) -> None:
        """Say, in the flow, that no more parts come."""
        with self._lock:
            if self._state is ChannelState.OPEN:
                self._state = ChannelState.ENDED
        self._wake_sender()

    async def take(self) -> bytes | None:
        """Return what was made since the last call, once there is something; None at the end."""
        self._note_sent()
        while True:
            with self._lock:
                if self._parts:
                    parts, self._parts = self._parts, []
                    self._being_sent = self._ahead
                    return b"".join(parts)
                if self._state is not ChannelState.OPEN:
                    return None
                sender = self._sender = self._loop.create_future()
            await sender

    async def wait_until_begun(self) -> None:
        """Return when the flow has begun, or never will."""
        with self._lock:
            if self._has_begun or self._state is not ChannelState.OPEN:
                return
            sender = self._sender = self._loop.create_future()
        await sender

    def leave(self) -> bool:
        """Say that no more parts are wanted; tell if the flow was waiting, which that ends."""
        with self._lock:
            self._state = ChannelState.LEFT
            self._parts = []
            flow, self._flow = self._flow, None
        return flow is not None and flow.wake()

    def _wake_sender(self) -> None:
        with self._lock:
            sender, self._sender = self._sender, None
        if sender is not None:
            self._wake(sender)

    def _note_sent(self) -> None:
        with self._lock:
            self._ahead -= self._being_sent
            self._being_sent = 0
            # Not before there is room for much: each of the flow's waits costs a switch.
            if self._ahead > AHEAD_BYTES // 2:
                return
            flow, self._flow = self._flow, None
        if flow is not None:
            flow.wake()

    def _has_had_its_turn(self) -> bool:
        began = self._turn_began
        return began is not None and time.monotonic() - began > TURN_SECONDS

    def _wait_until_sent(self) -> bool:
        self._before_wait()
        waiter = Waiter()
        with self._lock:
            if (self._parts or self._ahead) and self._state is ChannelState.OPEN:
                self._flow = waiter
            else:
                waiter.wake()  # sent meanwhile, as a thread sees it
        try:
            waiter.wait()
        finally:
            self._flow = None  # cancelled, perhaps: then it waits no more, and nobody has said so
        if self._turn_began is not None:
            self._turn_began = time.monotonic()
        return self._state is ChannelState.OPEN

    def _wake(self, sender: asyncio.Future[None]) -> None:
        if threading.get_ident() == self._loop_thread:
            _finish(sender)
        else:
            self._loop.call_soon_threadsafe(_finish, sender)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
