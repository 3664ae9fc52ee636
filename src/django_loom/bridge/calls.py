"""The bridge: synchronous code in a greenlet, its waits on the event loop.

``run_sync()`` is a coroutine that runs a synchronous function in a greenlet of
its own. Where that function has to wait it calls ``await_()``, which switches
back to the coroutine (the *driver*), which awaits there and switches back with
the result. Nothing here starts a thread or a task.
"""

from __future__ import annotations

from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from greenlet import GreenletExit, getcurrent

from django_loom.exceptions import BridgeError

from .greenlets import Resource, SyncCall, main_greenlet, outermost, resting
from .rounds import finish_all
from .tasks import TASK_PER_THREAD, hide_task, show_task
from .unit import Unit, enter_unit, leave_unit, unit_in_context
from .waiting_threads import run_in_waiting_thread, thread_waits

T = TypeVar("T")
P = ParamSpec("P")

# Bound once: see unit_in_context.
_wake = resting.pop
_lay_to_rest = resting.append


async def run_sync(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run synchronous code on the event loop, so that its waits are awaits.

    Inside ``fn`` no event loop is visible, so libraries that look for one take
    their synchronous path. Context variables are shared with the awaiting task
    in both directions. A cancellation is raised in ``fn`` where it waits.

    Outside a request, and not below another call, it is a unit of work of its own:
    see ``django_loom.bridge.unit``. In async code that plain code of a thread runs by
    ``async_to_sync()`` it belongs to that thread, and runs there.

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
    unit = unit_in_context()
    if unit is None and thread_waits(loop):
        return await run_in_waiting_thread(partial(fn, *args, **kwargs), loop)
    driver = getcurrent()
    call = _wake() if driver is main_greenlet and resting else SyncCall()
    call.driver = driver
    call.loop = loop
    call.job = fn, args, kwargs
    call.resources = None
    call.closing = False
    call.task = call.child = call.value = call.unit = None
    error = None
    failed = True
    token = None
    if unit is None or unit.ended:
        call.unit, token = enter_unit()
    # The same Context object, not a copy: what either side sets, both see.
    call.gr_context = driver.gr_context
    try:
        while True:
            try:
                if TASK_PER_THREAD:
                    hide_task(call, loop)
                _set_running_loop(None)
                child, call.child = call.child, None
                call.waiting = False
                if error is None:
                    ended = (child or call).switch()
                else:
                    ended = (child or call).throw(type(error), error, error.__traceback__)
            finally:
                _set_running_loop(loop)
                if TASK_PER_THREAD:
                    show_task(call, loop)
                error = child = None  # this frame is in its traceback
            if call.job is None:
                failed = bool(ended)
                break
            awaitable = call.awaitable
            del call.awaitable
            call.waiting = True
            try:
                # Not a local variable: what came of the wait is the code's alone, which
                # may drop it, and runs while this frame stands here.
                call.value = await awaitable
            except GeneratorExit:
                ended = _close(call)
                break
            except BaseException as raised:
                error = raised
            finally:
                del awaitable  # a future keeps its result or exception
            if call.driver is not getcurrent():
                # An eager task starts in the greenlet of whoever created it, and goes
                # on in the loop's. The call must end in, and wait through, the one in
                # which the coroutine runs now: the first may be dead or busy.
                call.driver = call.parent = getcurrent()
    finally:
        if call.resources is not None:
            error = _give_back(call)
        if token is not None:
            leave_unit(token)
        unit, call.unit = call.unit, None
        outcome: Any = None
        if not failed:
            outcome = call.result
            if not call.dead:
                call.result = call.gr_context = None
                del call.loop
                _lay_to_rest(call)
        if unit is not None:  # last, as it may raise
            unit.end(quietly=failed or error is not None)
        if error is not None:
            try:
                raise error
            finally:
                del error  # this frame is in its traceback
    if ended:
        raise ended  # GreenletExit: a greenlet returns that instead of raising it
    return outcome  # type: ignore[no-any-return]


def _give_back(call: SyncCall) -> BaseException | None:
    """Give back all that a call holds; return the first error, for its end goes on."""
    resources, call.resources = call.resources, None
    rest = iter((resources or {}).values())
    try:
        for resource in rest:
            resource.after_call()
    except BaseException as error:
        with suppress(BaseException):
            finish_all(each.after_call for each in rest)
        return error
    return None


def _close(call: SyncCall) -> GreenletExit | None:
    """End a call whose coroutine is closed, as when its task is collected.

    Nothing can be awaited any more: ``closing`` makes each further ``await_()``
    raise at once, so one throw is enough to unwind the call to its end.
    """
    call.closing = True
    if outermost(call) is outermost(getcurrent()):
        return _unwind(call)
    # The garbage collector runs in any thread, a greenlet only in its own. What the
    # call holds is given back when it has ended there, and its unit ends after it.
    resources, call.resources = call.resources, None
    unit, call.unit = call.unit, None
    try:
        call.loop.call_soon_threadsafe(_close_later, call, resources, unit)
    except RuntimeError:  # the loop is closed: nothing can end the call any more
        call.resources, call.unit = resources, unit
    raise GeneratorExit


def _close_later(
    call: SyncCall, resources: dict[Hashable, Resource] | None, unit: Unit | None
) -> None:
    call.resources = resources
    try:
        _unwind(call)
    except GeneratorExit:
        pass
    finally:
        error = _give_back(call)
        if unit is not None:
            unit.end(quietly=True)
        if error is not None:
            try:
                raise error
            finally:
                del error


def _unwind(call: SyncCall) -> GreenletExit | None:
    loop = _get_running_loop()
    call.driver = call.parent = getcurrent()
    call.waiting = False
    child, call.child = call.child, None
    try:
        if TASK_PER_THREAD and loop is not None:
            hide_task(call, loop)
        _set_running_loop(None)
        ended: GreenletExit | None = (child or call).throw(GeneratorExit)
        return ended
    finally:
        _set_running_loop(loop)
        if TASK_PER_THREAD and loop is not None:
            show_task(call, loop)
