"""What a flow of synchronous code, a ``run_sync()`` call or a thread, has leased.

A flow is named by its greenlet: the call is one, and each thread begins with one.
"""

from __future__ import annotations

import atexit
import os
from _thread import _local as RealLocal  # threading's keeps the unit's values
from asyncio import _get_running_loop
from collections.abc import Hashable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from greenlet import getcurrent, greenlet

from django_loom.bridge import SyncCall, current_call, finish_all

from .lease import Lease

if TYPE_CHECKING:
    from .leased import LeasedDatabaseMixin
    from .scopes import Scope

_KEY: Hashable = "django_loom.db"
_END_KEY: Hashable = "django_loom.db.flow_end"


class FlowEnd:
    """Tells of the end of a flow to blocks that it has opened on a connection of others."""

    __slots__ = ("_blocks", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._blocks: list[Scope] = []

    def note(self, block: Scope) -> None:
        """Have a block told of the end if it is open then."""
        self._blocks = [*(each for each in self._blocks if each.active), block]

    def before_wait(self) -> None:
        """Do nothing: it goes on."""

    def after_call(self) -> None:
        """Tell of the end."""
        self.ended = True
        finish_all(
            partial(block.wrapper.block_was_left, block.lease)
            for block in self._blocks
            if block.active
        )


class _Leases(dict[Lease, "LeasedDatabaseMixin"]):
    """The leases that one flow has."""

    def before_wait(self, kept: Lease | None = None) -> None:
        """Give back the connections that nothing is open on.

        :param kept: of which the code has use after the wait.
        """
        leases = list(self.items())
        if kept is not None:
            leases = [each for each in leases if each[0] is not kept]
        try:
            for lease, wrapper in leases:
                wrapper.give_back_if_idle(lease)
        except BaseException:
            with suppress(BaseException):  # for those that are back it does nothing
                finish_all(partial(wrapper.give_back_if_idle, lease) for lease, wrapper in leases)
            raise


class CallLeases(_Leases):
    """The leases that one ``run_sync()`` call has; its resource."""

    def after_call(self) -> None:
        """Give back everything but what an open transaction or cursor needs."""
        try:
            while self:
                lease, wrapper = self.popitem()
                wrapper.flow_ends(lease)
        except BaseException:
            with suppress(BaseException):
                self.after_call()  # the rest
            raise


class ThreadLeases(_Leases):
    """The leases that the code of one thread has; they end with it at the latest."""

    flow_end: FlowEnd | None = None  # of the function that runs here, if anything asked for it

    def __init__(self) -> None:
        self.jobs = 0  # functions that async code runs here, each of which ends its leases
        self._pid = os.getpid()

    def __del__(self) -> None:
        self.end()

    def end(self) -> None:
        """Give back everything: the thread ends."""
        if os.getpid() != self._pid:
            return  # a thread of the parent, gone with the fork: its sockets are the parent's
        with suppress(Exception):  # at interpreter exit anything may be missing
            if self.flow_end is not None:
                self.flow_end.after_call()
        # Another thread may take one out: see LibraryThreadLeases.block_ends().
        with suppress(KeyError):
            while True:
                lease, wrapper = self.popitem()
                with suppress(Exception):
                    wrapper.thread_ends(lease)


class _Thread(RealLocal):
    def __init__(self) -> None:
        self.leases = ThreadLeases()


_thread = _Thread()


def _main_thread_ends() -> None:
    _thread.leases.end()


# The main thread's are freed with this module → what they need to be given back may be cleared
# before → they end while all is there.
atexit.register(_main_thread_ends)


def of_this_thread() -> ThreadLeases:
    """Return the leases of the calling thread."""
    return _thread.leases


def note_thread(lease: Lease) -> None:
    """Let other threads find what the calling one has, to take a lease out of that."""
    lease.of_thread = ref(_thread.leases)


def current_flow() -> greenlet | None:
    """Return the flow that the calling code is in; None in a coroutine."""
    current: greenlet = getcurrent()
    if type(current) is SyncCall:
        return current
    call = current_call()
    if call is not None:
        return call
    if _get_running_loop() is not None and not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return None
    while current.parent is not None:
        current = current.parent
    return current


def flow_end() -> FlowEnd:
    """Return what tells of the end of the flow that the calling code is in."""
    call = current_call()
    if call is None:
        leases = _thread.leases
        leases.flow_end = leases.flow_end or FlowEnd()
        return leases.flow_end
    if call.resources is None:
        call.resources = {}
    end: Any = call.resources.setdefault(_END_KEY, FlowEnd())
    return end  # type: ignore[no-any-return]


def note_block(block: Scope) -> None:
    """Let a block know of the end of the flow that has just opened it."""
    block.flow_end = flow_end()
    block.flow_end.note(block)


def note(lease: Lease, wrapper: LeasedDatabaseMixin) -> None:
    """Note that a flow has a lease."""
    flow = lease.flow
    if type(flow) is not SyncCall:
        _thread.leases[lease] = wrapper
        return
    if flow.resources is None:
        flow.resources = {}
    leases: Any = flow.resources.get(_KEY)
    if leases is None:
        leases = flow.resources[_KEY] = CallLeases()
    leases[lease] = wrapper


def forget(lease: Lease, wrapper: LeasedDatabaseMixin) -> None:
    """Note that a flow has a lease no longer."""
    flow = lease.flow
    if type(flow) is not SyncCall:
        _thread.leases.pop(lease, None)
    elif flow.resources is not None:
        leases: Any = flow.resources.get(_KEY)
        if leases is not None:
            leases.pop(lease, None)


def ends_at_once() -> bool:
    """Tell if nobody ends what the calling code leases, as in a thread of a library's."""
    return current_call() is None and not _thread.leases.jobs


def before_wait(kept: Lease | None = None) -> None:
    """Give back what nothing needs while the calling code waits for a connection, or a turn.

    :param kept: of which the code has use after the wait.
    """
    call = current_call()
    leases: Any = _thread.leases if call is None else (call.resources or {}).get(_KEY)
    if leases:
        leases.before_wait(kept)


def forget_in_child() -> None:
    """Begin anew in a child process; nothing is closed that the parent has."""
    for lease in _thread.leases:
        lease.end()
    _thread.leases = ThreadLeases()
