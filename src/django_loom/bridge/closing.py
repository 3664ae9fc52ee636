"""Coroutines that may be closed by whoever frees them last."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any, TypeVar

from .variables import put_back

T = TypeVar("T")


class ClosedApart(Generator[Any, Any, T]):
    """What a coroutine is awaited by that may set context variables when it is closed.

    A task is freed half-way, as its loop is closed or the garbage collector runs → asgiref's
    coroutines copy the variables of their context to the present one, in their ``finally`` →
    that is some other code's, which would go on in a unit and a transaction that are not its
    own → they are closed in a copy, which nobody uses.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def __next__(self) -> Any:
        return self._coroutine.send(None)

    def send(self, value: Any) -> Any:
        """Let the coroutine go on."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception in the coroutine."""
        # We are cancelled, and the function goes on in its thread → asgiref copies the variables
        # that this has in its midst to us, and we would go on in the function's block, to be
        # rolled back with it → we get back what we had of ours, in this very moment, for another
        # task may have the same context.
        before = copy_context()
        try:
            return self._coroutine.throw(*error)
        except CancelledError:
            put_back(before)
            raise
        finally:
            del error  # this frame is in its traceback

    def close(self) -> None:
        """Close the coroutine, in a context of its own."""
        copy_context().run(self._coroutine.close)
