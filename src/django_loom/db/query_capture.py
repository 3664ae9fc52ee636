"""Query logs and execute wrappers of units and loops: per context, not per connection.

A unit's connection object serves many tasks and threads, and code on a loop uses many.
What ``CaptureQueriesContext`` or ``connection.execute_wrapper()`` asks for must hold
for the code inside the ``with`` block and the tasks and threads that it starts, no
others. That includes a loop which synchronous code runs inside the block.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_loom.bridge import context_variable, current_call, current_unit

from .execute_wrappers import Block, ExecuteWrapper, WrappersInBlocks, apart

Query = dict[str, str]


class QueryLog(deque[Query]):
    """The log of a capture inside another: what it gets, the outer one gets too.

    It begins with what the outer one has, for ``CaptureQueriesContext`` keeps
    positions, and looks them up when the inner block has ended.
    """

    def __init__(self, outer: deque[Query]) -> None:
        super().__init__(outer, outer.maxlen)
        self._outer = outer

    def append(self, query: Query, /) -> None:
        """Add a query."""
        super().append(query)
        self._outer.append(query)


@dataclass(frozen=True, slots=True)
class _Capture:
    forced: bool
    log: deque[Query]


_NONE: Mapping[str, Any] = MappingProxyType({})
captures_variable: ContextVar[Mapping[str, _Capture]] = context_variable(
    "loom_query_captures", _NONE
)
"""The databases whose queries the context logs, or has logged."""
captures_in_context = captures_variable.get


_blocks: ContextVar[Mapping[str, tuple[Block, ...]]] = context_variable(
    "loom_execute_wrappers", _NONE
)


def on_loop() -> bool:
    """Tell if the calling code runs on an event loop, in a coroutine or below one."""
    return current_call() is not None or _get_running_loop() is not None


def _is_plain() -> bool:
    """Tell if the calling code has its thread's connection to itself, as in Django."""
    return not on_loop() and current_unit() is None


def begin_logs(**signal: Any) -> None:
    """Begin the logs of a request, which its tasks and threads share; for ``request_started``.

    Django empties the logs of the thread's connections then; on a loop there may be
    none yet. A capture around the request, as in a test, goes on.
    """
    if settings.DEBUG and on_loop():
        known = captures_variable.get()
        limit = BaseDatabaseWrapper.queries_limit
        begun = {
            alias: _Capture(False, deque(maxlen=limit))
            for alias in connections
            if alias not in known or not known[alias].forced
        }
        captures_variable.set({**known, **begun})


class QueryCaptureMixin:
    """Replaces the attributes of ``BaseDatabaseWrapper`` that log and wrap queries.

    A wrapper that ``django.db.connections`` did not hand out keeps its own.
    """

    alias: str
    managed: bool
    unit: Any
    queries_limit: int
    _force_debug_cursor = False
    _execute_wrappers: list[ExecuteWrapper]

    if TYPE_CHECKING:

        @property
        def scopes(self) -> list[Any]: ...

    @property
    def force_debug_cursor(self) -> bool:
        """Whether queries are logged even if ``DEBUG`` is false."""
        capture = self._capture()
        return self._force_debug_cursor if capture is None else capture.forced

    @force_debug_cursor.setter
    def force_debug_cursor(self, value: bool) -> None:
        if not self.managed or _is_plain():
            self._force_debug_cursor = value
        if self.managed:  # a new one is not yet: it says nothing of the context
            self._set_capture(value)

    def _capture(self) -> _Capture | None:
        captures = captures_variable.get()
        return captures.get(self.alias) if captures and self.managed else None

    def _set_capture(self, forced: bool) -> None:
        known = dict(captures_variable.get())
        if forced or not _is_plain():
            known[self.alias] = _Capture(forced, self._log_of_capture(forced))
        else:
            known.pop(self.alias, None)
        captures_variable.set(known)

    def _log_of_capture(self, forced: bool) -> deque[Query]:
        """Return a log of its own for a unit's block, lest tasks and threads beside it share it."""
        capture = self._capture()
        outer = capture.log if capture is not None and capture.forced else None
        if _is_plain():
            return self._queries_log if outer is None else outer
        if not forced:
            return self.queries_log
        return deque(self.queries_log, self.queries_limit) if outer is None else QueryLog(outer)

    @property
    def queries_log(self) -> deque[Query]:
        """The last queries: this context's on a loop, else this connection's."""
        capture = self._capture()
        if capture is not None:
            return capture.log
        # In a test's transaction the thread's connection serves its loop as well.
        is_threads_in_transaction = self.unit is None and self.scopes
        if not self.managed or is_threads_in_transaction or not on_loop():
            return self._queries_log
        log = deque[Query](maxlen=self.queries_limit)
        captures_variable.set({**captures_variable.get(), self.alias: _Capture(False, log)})
        return log

    @queries_log.setter
    def queries_log(self, value: deque[Query]) -> None:
        self._queries_log = value

    @property
    def execute_wrappers(self) -> list[ExecuteWrapper]:
        """The wrappers around each query, the outermost first."""
        blocks = _blocks.get()
        if blocks and self.managed and self.alias in blocks and (here := self.blocks_here()):
            return WrappersInBlocks(self, here)
        return self._execute_wrappers

    @execute_wrappers.setter
    def execute_wrappers(self, value: list[ExecuteWrapper]) -> None:
        here = self.blocks_here() if _blocks.get() and self.managed else []
        own, placed = apart(value, here) if here else (value, [])
        if isinstance(value, WrappersInBlocks):
            own = value.own
        elif all(block.is_taken_out for block in placed):
            own = value
        self._execute_wrappers = own
        self.note_blocks(placed)

    def blocks_here(self) -> list[Block]:
        """Return the calling code's blocks whose wrappers are not in the connection's list."""
        known = _blocks.get().get(self.alias, ())
        is_plain = _is_plain()
        return [
            each for each in known if each.plain is None or not (is_plain or each.plain is self)
        ]

    def note_blocks(self, blocks: list[Block]) -> None:
        """Note in the context where code has put the wrappers of its blocks."""
        if blocks:
            keys = {block.key for block in blocks}
            self._set_blocks(lambda known: (*(k for k in known if k.key not in keys), *blocks))

    @contextmanager
    def execute_wrapper(self, wrapper: ExecuteWrapper) -> Iterator[None]:
        """Apply the wrapper to the queries of the block, as Django's own does."""
        is_plain = not self.managed or _is_plain()
        around = tuple(self._execute_wrappers)
        block = Block(object(), wrapper, around, self if is_plain else None)
        if is_plain:
            self._execute_wrappers.append(wrapper)
        if self.managed:
            self._set_blocks(lambda known: (*known, block))
        try:
            yield
        finally:
            if is_plain:
                self._execute_wrappers.pop()
            # A generator may be left in its block, and end in the midst of another's.
            if self.managed:
                self._set_blocks(lambda known: tuple(k for k in known if k.key is not block.key))

    def _set_blocks(self, change: Callable[[tuple[Block, ...]], tuple[Block, ...]]) -> None:
        known = _blocks.get()
        _blocks.set({**known, self.alias: change(known.get(self.alias, ()))})
