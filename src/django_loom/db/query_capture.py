"""Query logs and execute wrappers of code on a loop: per context, not per connection.

On a loop one connection serves many tasks in turn, and one task uses many. What
``CaptureQueriesContext`` or ``connection.execute_wrapper()`` asks for must hold
for the code inside the ``with`` block and the tasks that it starts, no others.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django_loom.bridge import current_call

ExecuteWrapper = Callable[..., Any]
QueryLog = deque[dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Capture:
    forced: bool
    log: QueryLog


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
        if not self.managed or not on_loop():
            self._force_debug_cursor = value
            return
        known = _captures.get()
        before = known.get(self.alias)
        if value and (before is None or not before.forced):
            # A log of its own, or tasks that run beside this one would share it.
            log = QueryLog(self.queries_log, self.queries_limit)
        else:
            log = self.queries_log
        _captures.set({**known, self.alias: _Capture(value, log)})

    @property
    def queries_log(self) -> QueryLog:
        """The last queries, those of this context if it captures them."""
        captures = _captures.get()
        if captures and self.alias in captures and self.managed and on_loop():
            return captures[self.alias].log
        return self._queries_log

    @queries_log.setter
    def queries_log(self, value: QueryLog) -> None:
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
        if not self.managed or not on_loop():
            with super().execute_wrapper(wrapper):  # type: ignore[misc]
                yield
            return
        known = _wrappers.get()
        before = known.get(self.alias, ())
        _wrappers.set({**known, self.alias: (*before, wrapper)})
        try:
            yield
        finally:
            _wrappers.set({**_wrappers.get(), self.alias: before})
