"""``on_commit()``: asynchronous functions, and hooks that leave the connection free."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.exceptions import SynchronousOnlyOperation

from . import blocks, scopes
from .function_blocks import beginning_in_context, require_blocks

if TYPE_CHECKING:
    from typing import Any as _Base  # a BaseDatabaseWrapper; Django has no types
else:
    _Base = object


def _awaited(func: Callable[[], Any]) -> Callable[[], Any]:
    # A function, for Django's message about one that fails names it.
    @wraps(func)
    def callback() -> Any:
        return async_to_sync(func)()

    return callback


class _Committed:
    """Where Django finds the callbacks of a commit: in place of a connection object."""

    def __init__(self, hooks: list[Any]) -> None:
        self.run_on_commit = hooks

    def validate_no_atomic_block(self) -> None:
        """Do nothing: the block has ended."""


class CommitHooksMixin(_Base):
    """Runs the hooks of a transaction when that has ended."""

    def on_commit(self, func: Callable[[], Any], robust: bool = False) -> None:
        """Register a callback for the commit; it may be a coroutine function.

        :raises SynchronousOnlyOperation: a coroutine function, from async code
            outside a transaction, where it would have to be awaited at once.
        :raises TransactionManagementError: the calling function's block was rolled back.
        """
        if beginning_in_context() is not None:
            require_blocks(self.alias)
        if _get_running_loop() is not None and not self.in_atomic_block:
            if iscoroutinefunction(func):
                raise SynchronousOnlyOperation(
                    "transaction.on_commit() was given a coroutine function outside a "
                    "transaction, where it runs at once. Write `await callback()`."
                )
            func()
            return
        super().on_commit(_awaited(func) if iscoroutinefunction(func) else func, robust)

    def run_and_clear_commit_hooks(self) -> None:
        """Run the callbacks, which are outside the transaction already."""
        lease = self.lease_here()
        last = lease.scopes[-1] if lease.scopes else None
        # Test helpers call this in the midst of their blocks, which go on.
        if last is None or last.kind is not scopes.Kind.CLOSING:
            super().run_and_clear_commit_hooks()
            return
        of = lease if self.leased else self
        hooks, of.run_on_commit = of.run_on_commit, []
        lease.end_cursors_of_block()
        blocks.end_close(last, is_committed=True)
        # The callbacks lease connections of their own. If the transaction's were
        # held meanwhile, as many as the pool has could wait for one more.
        self.give_back_if_unneeded(lease)
        if hooks:
            # Not through a lease: the present one may be another's by now, who shares a
            # session with us, and in a thread that nobody tells the end of there is none.
            super().run_and_clear_commit_hooks.__func__(_Committed(hooks))
