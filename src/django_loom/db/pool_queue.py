"""The callers that wait for a slot of a connection pool: first come, first served."""

from __future__ import annotations

import time
from collections import deque

from django_loom.bridge import Waiter

from .pool_slots import Slot


class PoolRequest(Waiter):
    """A caller that waits for a slot; ``slot`` is set when ``granted`` is.

    ``claimed`` is set when it has come for that.
    """

    __slots__ = ("claimed", "slot")
    slot: Slot | None

    def __init__(self) -> None:
        super().__init__()
        self.claimed = False


class PoolQueue:
    """The requests that are not granted yet.

    Whoever calls a method holds the pool's lock.
    """

    __slots__ = ("requests",)

    def __init__(self) -> None:
        self.requests: deque[PoolRequest] = deque()  # the oldest first

    def enqueue(self) -> PoolRequest:
        """Add a request of the caller's, which is to wait for it."""
        request = PoolRequest()
        self.requests.append(request)
        return request

    def withdraw(self, request: PoolRequest) -> bool:
        """End the wait; tell if it was granted, which no longer changes now."""
        if not request.granted:
            self.requests.remove(request)
            return False
        request.claimed = True
        return True

    def grant(self, slot: Slot, used: set[Slot]) -> bool:
        """Hand the slot to the first who waits; return False if nobody does.

        :param used: the slots in use, which it is then among.
        """
        while self.requests:
            request = self.requests.popleft()
            request.granted, request.slot = True, slot
            used.add(slot)
            slot.taken_at = time.monotonic()  # from now on in use, though its user sleeps still
            if request.wake() or request.claimed:
                # The garbage collector may end the waiter's call in the midst of this: it
                # has then come for the slot, and has given it back.
                return True
            request.slot = None  # its loop is closed: it will never come for the slot
            used.discard(slot)
        return False

    def clear(self) -> list[PoolRequest]:
        """Grant all requests without a slot, and return them: they are still to be woken."""
        requests = list(self.requests)
        self.requests.clear()
        for request in requests:
            request.granted, request.slot = True, None
        return requests
