"""The bridge: synchronous code in a greenlet, its waits on the event loop.

``run_sync()`` is a coroutine that runs a synchronous function in a greenlet of
its own. Where that function has to wait it calls ``await_()``, which switches
back to the coroutine (the *driver*), which awaits there and switches back with
the result. Nothing here starts a thread or a task.
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Awaitable, Callable, Hashable
from inspect import iscoroutine
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar, cast

from greenlet import getcurrent, greenlet

from django_loom.exceptions import BridgeError

T = TypeVar("T")
P = ParamSpec("P")


class Resource(Protocol):
    """Something that a ``run_sync()`` call holds while it runs."""

    def before_wait(self) -> None:
        """Give back what must not be held during the wait that now begins."""

    def after_call(self) -> None:
        """Give back everything; the call has ended. Must not raise or wait."""


class SyncCall(greenlet):
    """One ``run_sync()`` call.

    ``driver`` is the greenlet to switch to for a wait. It is not ``parent``: code
    in the call may start greenlets of its own, and the coroutine may be resumed
    from another greenlet than the one that started it.
    """

    driver: greenlet
    loop: asyncio.AbstractEventLoop
    resources: dict[Hashable, Resource] | None = None
    closing: bool = False


def current_call() -> SyncCall | None:
    """Return the ``run_sync()`` call that the calling code runs in, if any."""
    current = getcurrent()
    return current if type(current) is SyncCall else None


async def run_sync(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run synchronous code on the event loop, so that its waits are awaits.

    Inside ``fn`` no event loop is visible, so libraries that look for one take
    their synchronous path. Context variables are shared with the awaiting task
    in both directions. A cancellation is raised in ``fn`` where it waits.

    :param fn: the synchronous callable; it gets the other arguments.
    :return: what ``fn`` returns.
    :raises BridgeError: no asyncio event loop is running.
    :raises BaseException: whatever ``fn`` raises, with its traceback.
    """
    loop = _get_running_loop()
    if loop is None:
        raise BridgeError(
            "run_sync() needs a running asyncio event loop, and there is none in "
            "this thread. Start one with asyncio.run(), or call the function itself."
        )
    driver = getcurrent()
    call = SyncCall(fn, driver)
    call.driver = driver
    call.loop = loop
    # The same Context object, not a copy: what either side sets, both see.
    call.gr_context = driver.gr_context
    try:
        _set_running_loop(None)
        try:
            result = call.switch(*args, **kwargs)
        finally:
            _set_running_loop(loop)
        while not call.dead:
            try:
                value = await result
            except GeneratorExit:
                return cast(T, _close(call))
            except BaseException as error:
                result = _resume(call, call.throw, type(error), error, error.__traceback__)
            else:
                if call.driver is getcurrent():
                    # _resume(), inlined: this is the path of every wait.
                    _set_running_loop(None)
                    try:
                        result = call.switch(value)
                    finally:
                        _set_running_loop(loop)
                else:
                    result = _resume(call, call.switch, value)
        return cast(T, result)
    finally:
        if call.resources is not None:
            for resource in call.resources.values():
                resource.after_call()


def _resume(call: SyncCall, switch: Callable[..., Any], *args: Any) -> Any:
    """Go on with the call; return its next awaitable, or its result."""
    driver = getcurrent()
    if call.driver is not driver:
        # An eager task starts in the greenlet of whoever created it, and goes on
        # in the loop's. The call must end in, and wait through, the one in which
        # the coroutine runs now: the first may be dead or busy.
        call.driver = call.parent = driver
    loop = _get_running_loop()
    _set_running_loop(None)
    try:
        return switch(*args)
    finally:
        _set_running_loop(loop)


def _close(call: SyncCall) -> Any:
    """End a call whose coroutine is closed, as when its task is collected.

    Nothing can be awaited any more: ``closing`` makes each further ``await_()``
    raise at once, so one throw is enough to unwind the call to its end.
    """
    call.closing = True
    return _resume(call, call.throw, GeneratorExit)


def await_(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable from synchronous code that ``run_sync()`` runs.

    :param awaitable: a coroutine, future or any other awaitable of the loop.
    :return: what the awaitable returns.
    :raises BridgeError: the caller does not run inside ``run_sync()``.
    :raises BaseException: what the awaitable raises; ``CancelledError`` when the
        task that awaits ``run_sync()`` is cancelled.
    """
    call = getcurrent()
    if type(call) is not SyncCall or call.closing:
        _refuse(call, awaitable)
    if call.resources is not None:
        for resource in call.resources.values():
            resource.before_wait()
    return cast(T, call.driver.switch(awaitable))


def suspend(awaitable: Awaitable[T]) -> T:
    """Wait as ``await_()`` does, but keep what the call holds meanwhile.

    For the waits that the holding is for, such as that for a query's result.
    """
    call = getcurrent()
    if type(call) is not SyncCall or call.closing:
        _refuse(call, awaitable)
    return cast(T, call.driver.switch(awaitable))


def _refuse(current: greenlet, awaitable: Awaitable[Any]) -> NoReturn:
    if iscoroutine(awaitable):
        awaitable.close()  # it will not run: no "never awaited" warning on top
    if type(current) is SyncCall:
        raise BridgeError(
            "await_() was called while its coroutine is being closed (its task was "
            "garbage-collected, or the loop ended). Nothing can be awaited any more; "
            "keep a reference to the task, or cancel it and wait for it."
        )
    if _get_running_loop() is not None:
        raise BridgeError(
            "await_() was called straight from a coroutine. Write `await ...` there; "
            "await_() is for synchronous code that run_sync() runs."
        )
    if current.parent is not None:
        raise BridgeError(
            "await_() was called in a greenlet that django_loom did not start (gevent, "
            "SQLAlchemy's greenlet_spawn, or one of your own inside run_sync()). Call "
            "it in the function that you give to run_sync()."
        )
    raise BridgeError(
        "await_() was called outside run_sync(), so there is no event loop to wait on. "
        "From async code write `await django_loom.run_sync(fn)`; from plain "
        "synchronous code write `asgiref.sync.async_to_sync(coroutine_function)()`."
    )
