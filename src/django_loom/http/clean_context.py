"""Calling the server outside a request's context, which else would outlive its request.

A server may note the context of the call. uvicorn on asyncio's own loop does: what it
reads from the connection after a ``receive()`` or ``send()`` that has resumed reading, the
next request among it, runs in a copy of that context.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def await_in(context: Context, waiting: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a coroutine whose code is to run in ``context``, in the task of the caller.

    :return: what it returns.
    """
    step: Any = waiting.send
    value: Any = None
    while True:
        try:
            wanted = context.run(step, value)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            value = None  # an error that was thrown has this frame in its traceback
        try:
            step, value = waiting.send, (yield wanted)
        except BaseException as error:  # a cancellation, mostly: it is the coroutine's
            step, value = waiting.throw, error
