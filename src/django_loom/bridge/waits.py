"""Waiting on the event loop, from synchronous code."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Awaitable
from inspect import iscoroutine
from typing import Any, NoReturn, TypeVar

from greenlet import getcurrent

from django_loom.exceptions import BridgeError

from . import collector
from .collector import is_collecting
from .greenlets import SyncCall, current_call
from .thread_greenlets import ThreadCall, current_thread_call

T = TypeVar("T")


def await_(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable from synchronous code that ``run_sync()`` runs.

    :param awaitable: a coroutine, future or any other awaitable of the loop.
    :return: what the awaitable returns.
    :raises BridgeError: the caller does not run inside ``run_sync()``.
    :raises BaseException: what the awaitable raises; ``CancelledError`` when the
        task that awaits ``run_sync()`` is cancelled.
    """
    call: Any = (current := getcurrent())
    # As _waiting_call() does, without the calls: every wait comes by here.
    if (
        type(call) is not SyncCall
        or call.closing
        or _get_running_loop() is not None
        or collector.collecting is not None
    ):
        call = _waiting_call(awaitable)
        if type(call) is ThreadCall and call.keeps_thread():
            return call.block(awaitable)
    if call.resources is not None:
        try:
            for resource in call.resources.values():
                resource.before_wait()
        except BaseException:
            if iscoroutine(awaitable):
                awaitable.close()  # it will not run: no "never awaited" warning on top
            raise
    if call is not current:
        call.child = current
    call.awaitable = awaitable
    del awaitable  # see SyncCall
    call.driver.switch()
    result: T = call.value
    call.value = None
    return result


def suspend(awaitable: Awaitable[T]) -> T:
    """Wait as ``await_()`` does, but keep what the call holds meanwhile.

    For the waits that the holding is for, such as that for a query's result.
    """
    call: Any = (current := getcurrent())
    # As _waiting_call() does, without the calls: every wait comes by here.
    if (
        type(call) is not SyncCall
        or call.closing
        or _get_running_loop() is not None
        or collector.collecting is not None
    ):
        call = _waiting_call(awaitable)
        if type(call) is ThreadCall and call.keeps_thread():
            return call.block(awaitable)
    if call is not current:
        call.child = current
    call.awaitable = awaitable
    del awaitable  # see SyncCall
    call.driver.switch()
    result: T = call.value
    call.value = None
    return result


def wait_in_thread_call(awaitable: Awaitable[T]) -> T:
    """Wait as a plain function does: nobody else uses the thread of the call meanwhile."""
    call = _waiting_call(awaitable)
    assert type(call) is ThreadCall
    return call.block(awaitable)


def _waiting_call(awaitable: Awaitable[Any]) -> SyncCall | ThreadCall:
    """Return the call that is to wait, or refuse.

    Not in a coroutine of a loop that runs inside the call: the whole of that loop would
    stand still. Not in the garbage collector: what the interpreter holds in its midst is
    no state to leave to other greenlets.
    """
    call = current_call() or current_thread_call()
    if call is None or call.closing or _get_running_loop() is not None or is_collecting():
        _refuse(call, awaitable)
    return call


def _refuse(call: SyncCall | ThreadCall | None, awaitable: Awaitable[Any]) -> NoReturn:
    if iscoroutine(awaitable):
        awaitable.close()  # it will not run: no "never awaited" warning on top
    if call is not None and call.closing:
        raise BridgeError(
            "await_() was called while its coroutine is being closed (its task was "
            "garbage-collected, or the loop ended). Nothing can be awaited any more; "
            "keep a reference to the task, or cancel it and wait for it."
        )
    if is_collecting():
        raise BridgeError(
            "await_() was called by the garbage collector, in a finalizer or in the `finally` "
            "of a generator that it frees. Nothing can be awaited there. Close what has to "
            "wait for its end where it is used: `with contextlib.closing(...)`."
        )
    if call is None and getcurrent().parent is not None:
        raise BridgeError(
            "await_() was called in a greenlet that django_loom did not start (gevent, "
            "SQLAlchemy's greenlet_spawn, or one of your own outside run_sync()). Call it in the "
            "function that you give to run_sync(), or in greenlets that this starts."
        )
    if _get_running_loop() is not None:
        raise BridgeError(
            "await_() was called straight from a coroutine. Write `await ...` there; "
            "await_() is for synchronous code that run_sync() runs."
        )
    raise BridgeError(
        "await_() was called outside run_sync(), so there is no event loop to wait on. "
        "From async code write `await django_loom.run_sync(fn)`; from plain "
        "synchronous code write `asgiref.sync.async_to_sync(coroutine_function)()`."
    )
