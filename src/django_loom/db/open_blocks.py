"""The blocks of async code that are open."""

from __future__ import annotations

from functools import partial
from types import FrameType
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import Atomic

from django_loom.bridge import (
    ThreadBlock,
    Unit,
    leave_unit,
    run_in_waiting_thread,
    run_sync,
    run_to_end_in_waiting_thread,
)

from . import scopes
from .atomic_blocks import NothingCanWait


class OpenBlock:
    """One use of an ``AsyncAtomic``: its block, and the scope that this has opened."""

    def __init__(
        self,
        block: Atomic,
        frame: FrameType,
        unit: Unit | None,
        token: Any,
        of_thread: ThreadBlock | None,
    ) -> None:
        self.block = block
        self.frame = frame  # of the code that has entered it: mostly a coroutine's
        self.of_thread = of_thread
        self.scope: scopes.Scope | None = None
        self._unit = unit
        self._token = token

    def enter(self, in_generator: bool) -> None:
        self.block.__enter__()
        self.scope = scopes.find(self.block.using or DEFAULT_DB_ALIAS)
        if self.scope is not None:
            self.scope.opener = self
            self.scope.in_generator = in_generator
            if self.of_thread is not None:
                self.of_thread.timeout = self.scope.wrapper.lease_timeout

    def exit(self, *exc: Any) -> None:
        self._change_places_with_inner()
        try:
            with scopes.inside(self.scope):
                self.block.__exit__(*exc)
        finally:
            if self.scope is not None:
                self.scope.opener = None  # it is open still if a block in it was not left

    async def leave(self, *exc: Any) -> None:
        """Leave the block where it was entered, and end the unit that it was."""
        try:
            if self.of_thread is not None:
                await self.exit_in_thread(self.of_thread, *exc)
            else:
                await run_sync(self.exit, *exc)
        finally:
            self.leave_unit()

    def _change_places_with_inner(self) -> None:
        """Be the inner block, if the caller is in one that it has entered in this one.

        Blocks are entered by hand, and left in that order → the inner one has the turn, and we
        would wait for ourselves → as in Django, what is left first counts as the innermost.
        """
        here = scopes.find(self.block.using or DEFAULT_DB_ALIAS)
        inner = None if here is None else here.opener
        if not isinstance(inner, OpenBlock) or inner is self or inner.of_thread is not None:
            return
        if self.scope is None or here is None or not here.is_within(self.scope):
            return
        if here.in_generator:
            return  # left by its consumer: the loop is about to close it
        inner.scope, self.scope = self.scope, here
        inner.scope.opener, here.opener = inner, self
        inner._token, self._token = self._token, inner._token  # both are of one unit

    async def exit_in_thread(self, of_thread: ThreadBlock, *exc: Any) -> None:
        loop = of_thread.loop
        try:
            async with of_thread.closing():
                await run_in_waiting_thread(partial(self.exit, *exc), loop)
        except BaseException as error:
            # A block in this one is still open, or we were cancelled while we waited for
            # its end: the transaction may not be committed.
            await self.give_up_in_thread(error)
            raise

    async def give_up_in_thread(self, error: BaseException) -> None:
        """Leave the block if it is open in a thread, whose next statement would be in it.

        We are cancelled while the thread enters it, as where it has to connect → the thread
        can't be stopped, and nobody would leave the block → it is left.
        """
        if self.of_thread is not None and self.scope is not None and self.scope.active:
            await run_to_end_in_waiting_thread(partial(self.give_up, error), self.of_thread.loop)

    def give_up(self, error: BaseException) -> None:
        with scopes.inside(self.scope):
            self.block.__exit__(NothingCanWait, NothingCanWait(error), error.__traceback__)
        if self.scope is not None:
            self.scope.opener = None  # who has the scope would keep our frame
        self.leave_unit()

    def leave_unit(self) -> None:
        """End the unit that the block was, if it was one of its own, or that of a thread.

        A second call does nothing.
        """
        if self.of_thread is not None:
            self.of_thread.end()
        self.scope = None  # which has the connection object, that another unit may get
        token, self._token = self._token, None
        if token is not None:
            leave_unit(token)
        if token is not None and self._unit is not None:
            self._unit.end(quietly=True)
