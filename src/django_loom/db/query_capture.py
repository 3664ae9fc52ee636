"""Query logs and execute wrappers of code on a loop: per context, not per connection.

On a loop one connection serves many tasks in turn, and one task uses many. What
``CaptureQueriesContext`` or ``connection.execute_wrapper()`` asks for must hold
for the code inside the ``with`` block and the tasks that it starts, no others.
That includes a loop which synchronous code runs inside the block.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django_loom.bridge import current_call

ExecuteWrapper = Callable[..., Any]
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
_captures: ContextVar[Mapping[str, _Capture]] = ContextVar("loom_query_captures", default=_NONE)
_wrappers: ContextVar[Mapping[str, tuple[ExecuteWrapper, ...]]] = ContextVar(
    "loom_execute_wrappers", default=_NONE
)


def on_loop() -> bool:
    """Tell if the calling code runs on an event loop, in a coroutine or below one."""
    return current_call() is not None or _get_running_loop() is not None


class QueryCaptureMixin:
    """Replaces the attributes of ``BaseDatabaseWrapper`` that log and wrap queries."""

    alias: str
    managed: bool
    queries_limit: int
    _force_debug_cursor = False

    @property
    def force_debug_cursor(self) -> bool:
        """Whether queries are logged even if ``DEBUG`` is false."""
        captures = _captures.get()
        if captures and self.alias in captures and self.managed and on_loop():
            return captures[self.alias].forced
        return self._force_debug_cursor

    @force_debug_cursor.setter
    def force_debug_cursor(self, value: bool) -> None:
        if not self.managed or "_force_debug_cursor" not in self.__dict__:
            # A copy of a connection is Django's own; a new one says nothing of the context.
            self._force_debug_cursor = value
            return
        known = dict(_captures.get())
        if not on_loop():
            self._force_debug_cursor = value
            known.pop(self.alias, None)
            if value:
                known[self.alias] = _Capture(True, self._queries_log)
        else:
            known[self.alias] = _Capture(value, self._log_of_capture(value))
        _captures.set(known)

    def _log_of_capture(self, value: bool) -> deque[Query]:
        """Return a log of its own for a block, lest tasks beside it share it."""
        if not value:
            return self.queries_log
        before = _captures.get().get(self.alias)
        if before is not None and before.forced:
            return QueryLog(before.log)
        return deque(self.queries_log, self.queries_limit)

    @property
    def queries_log(self) -> deque[Query]:
        """The last queries, those of this context if it captures them."""
        captures = _captures.get()
        if captures and self.alias in captures and self.managed and on_loop():
            return captures[self.alias].log
        return self._queries_log

    @queries_log.setter
    def queries_log(self, value: deque[Query]) -> None:
        self._queries_log = value

    @property
    def execute_wrappers(self) -> list[ExecuteWrapper]:
        """The wrappers around each query: the connection's own, then the context's."""
        wrappers = _wrappers.get()
        if wrappers and self.alias in wrappers and self.managed:
            return [*self._execute_wrappers, *wrappers[self.alias]]
        return self._execute_wrappers

    @execute_wrappers.setter
    def execute_wrappers(self, value: list[ExecuteWrapper]) -> None:
        self._execute_wrappers = value

    @contextmanager
    def execute_wrapper(self, wrapper: ExecuteWrapper) -> Iterator[None]:
        """Apply the wrapper to the queries of the block, as Django's own does."""
        before = _wrappers.get().get(self.alias, ())
        _wrappers.set({**_wrappers.get(), self.alias: (*before, wrapper)})
        # Outside a loop the thread's connection has it too, as Django wants it.
        thread: Any = nullcontext() if on_loop() else super().execute_wrapper(wrapper)  # type: ignore[misc]
        try:
            with thread:
                yield
        finally:
            _wrappers.set({**_wrappers.get(), self.alias: before})
