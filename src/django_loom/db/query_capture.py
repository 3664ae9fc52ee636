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
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

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
captures_variable: ContextVar[Mapping[str, _Capture]] = ContextVar(
    "loom_query_captures", default=_NONE
)
"""The databases whose queries the context logs, or has logged."""
# With each, the connection that has it in its own list already, if one has.
_Wrappers = Mapping[str, tuple[tuple[ExecuteWrapper, object], ...]]
_wrappers: ContextVar[_Wrappers] = ContextVar("loom_execute_wrappers", default=_NONE)


def on_loop() -> bool:
    """Tell if the calling code runs on an event loop, in a coroutine or below one."""
    return current_call() is not None or _get_running_loop() is not None


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
        if not self.managed or not on_loop():
            self._force_debug_cursor = value
        if self.managed:  # a new one is not yet: it says nothing of the context
            self._set_capture(value)

    def _capture(self) -> _Capture | None:
        captures = captures_variable.get()
        return captures.get(self.alias) if captures and self.managed else None

    def _set_capture(self, forced: bool) -> None:
        known = dict(captures_variable.get())
        if forced or on_loop():
            known[self.alias] = _Capture(forced, self._log_of_capture(forced))
        else:
            known.pop(self.alias, None)
        captures_variable.set(known)

    def _log_of_capture(self, forced: bool) -> deque[Query]:
        """Return a log of its own for a block on a loop, lest tasks beside it share it."""
        capture = self._capture()
        outer = capture.log if capture is not None and capture.forced else None
        if not on_loop():
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
        """The wrappers around each query: the connection's own, then the context's."""
        own = self._execute_wrappers
        wrappers = _wrappers.get()
        if wrappers and wrappers.get(self.alias) and self.managed:
            return [*own, *(each for each, has in wrappers[self.alias] if has is not self)]
        return own

    @execute_wrappers.setter
    def execute_wrappers(self, value: list[ExecuteWrapper]) -> None:
        self._execute_wrappers = value

    @contextmanager
    def execute_wrapper(self, wrapper: ExecuteWrapper) -> Iterator[None]:
        """Apply the wrapper to the queries of the block, as Django's own does."""
        with ExitStack() as stack:
            if not self.managed or not on_loop():
                self._execute_wrappers.append(wrapper)
                stack.callback(self._execute_wrappers.pop)
            if self.managed:
                before = _wrappers.get().get(self.alias, ())
                has = None if on_loop() else self
                _wrappers.set({**_wrappers.get(), self.alias: (*before, (wrapper, has))})
                stack.callback(self._restore_wrappers, before)
            yield

    def _restore_wrappers(self, before: tuple[tuple[ExecuteWrapper, object], ...]) -> None:
        _wrappers.set({**_wrappers.get(), self.alias: before})
