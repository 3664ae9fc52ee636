"""A connection through a proxy: how late each direction is, how fast, and what it holds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

MOST_HELD = 1 << 20  # bytes, above which the sender has to wait
SLICE_SECONDS = 0.01  # of a flow with a rate: so much at once
END = b""


class Link:
    """A connection through a proxy: two flows, which forward nothing while `flows` is false.

    :param delay: seconds that what the client sends is late; what the server answers is not.
    :param rate: bytes per second in each direction at most; None for no limit.
    """

    def __init__(
        self,
        delay: float,
        rate: float | None,
        on_made: Callable[[Link], None],
        on_over: Callable[[Link], None],
    ) -> None:
        self.flows = True
        self.passes_ends = True
        self.from_client = Flow(self, delay, rate)
        self.from_server = Flow(self, 0.0, rate)
        self._sides: list[Flow] = []
        self._on_made = on_made
        self._on_over = on_over

    @property
    def sides(self) -> list[Flow]:
        """The flows of the sides that are connected."""
        return list(self._sides)

    def made(self, flow: Flow) -> None:
        """Take word that a side is connected: first the client's, then the server's."""
        self._sides.append(flow)
        if flow is self.from_server:
            self.from_server.begin(self.from_client)
            self.from_client.begin(self.from_server)
        else:
            self._on_made(self)

    def ended(self, flow: Flow) -> None:
        """Take word that a side's end has come to the other."""
        self._sides.remove(flow)
        if not self._sides:
            self._on_over(self)

    def abort(self) -> None:
        """End it, to both sides."""
        for flow in self.sides:
            flow.transport.abort()
        if self.from_server not in self._sides:  # to which nothing would pass on its end
            self._on_over(self)


class Flow(asyncio.Protocol):
    """What one side of a link sends, on its way to the other, in order."""

    transport: asyncio.Transport

    def __init__(self, link: Link, delay: float, rate: float | None) -> None:
        self._link = link
        self._delay = delay
        self._rate = rate
        self._receiver: Flow | None = None
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._due = 0  # how many of the parts are late enough
        self._rests = False  # as the rate has it
        self._is_blocked = False  # by a receiver that reads no more
        self._waits = False  # the sender does, for any of these reasons

    @property
    def holds_something(self) -> bool:
        """Whether something waits to be forwarded."""
        return bool(self._held)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        self._hold(data)

    def connection_lost(self, exc: Exception | None) -> None:
        # After what is still on its way, a goodbye or a cancellation, has arrived.
        self._hold(END)

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.block(True)

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.block(False)

    def begin(self, receiver: Flow) -> None:
        """Forward to the side whose own flow this is, from now on."""
        self._receiver = receiver
        self.go_on()

    def go_on(self) -> None:
        """Forward what is due, as far as the link lets it."""
        while self._due and self._receiver is not None and self._passes(self._held[0]):
            self._forward(self._held.popleft(), self._receiver)
        self._regulate()

    def block(self, is_blocked: bool) -> None:
        """Take word of whether the receiver reads no more."""
        self._is_blocked = is_blocked
        self._regulate()

    def _passes(self, part: bytes) -> bool:
        return self._link.flows and not self._rests and (part != END or self._link.passes_ends)

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if not (self._delay or self._held) and self._receiver is not None and self._passes(part):
            # Never held, for other threads look at what is held at any moment.
            self._due += 1
            self._forward(part, self._receiver)
            self._regulate()
            return
        self._held.append(part)
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._one_more_is_due)
            self._regulate()
        else:
            self._one_more_is_due()

    def _one_more_is_due(self) -> None:
        # The oldest, whichever timer fired: two timers due at one instant may swap.
        self._due += 1
        self.go_on()

    def _forward(self, part: bytes, receiver: Flow) -> None:
        if self._rate is not None and part:
            part = self._slice(part, self._rate)
        if part == END:
            receiver.transport.close()
            self._link.ended(self)
        elif not receiver.transport.is_closing():
            receiver.transport.write(part)
        self._due -= 1
        self._held_bytes -= len(part)

    def _slice(self, part: bytes, rate: float) -> bytes:
        """What may go at once; the rest of the part is the next one."""
        size = max(1, int(rate * SLICE_SECONDS))
        if part[size:]:
            self._held.appendleft(part[size:])
            self._due += 1
        self._rests = True
        asyncio.get_running_loop().call_later(len(part[:size]) / rate, self._end_rest)
        return part[:size]

    def _end_rest(self) -> None:
        self._rests = False
        self.go_on()

    def _regulate(self) -> None:
        """Let the sender wait while too much is held, or the receiver has not read."""
        waits = self._is_blocked or self._held_bytes > MOST_HELD
        if waits != self._waits and not self.transport.is_closing():
            self._waits = waits
            (self.transport.pause_reading if waits else self.transport.resume_reading)()
