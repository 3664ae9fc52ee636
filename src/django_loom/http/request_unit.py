"""Each request is a unit of work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any

from django_loom.bridge import Unit, leave_unit, unit_variable

logger = logging.getLogger("django_loom")

_LONGEST_PATH = 200  # of what a message says


class RequestUnit(Unit):
    """Serves the block of a request as a unit of work, at less cost than ``unit_of_work()``.

    What rooms do at its end may fail, but can't undo an answer that was sent: it is logged.
    ``view`` is the request's, as soon as that is found.

    Who observes requests gives the handler a subclass, ``application.request_unit = Traced``:
    its block begins and ends with the request, in the server's task, and the unit is there
    for what is known of the request, to all code that is in it.
    """

    __slots__ = ("_scope", "_token", "view")
    _token: Token[Unit | None]

    def __init__(self, scope: dict[str, Any]) -> None:
        Unit.__init__(self)
        self._scope = scope
        self.view: Callable[..., Any] | None = None

    def describe(self) -> str:
        """Return the request's method and path, and its view."""
        # The client has chosen the path: as Django's log does, no line ends in it.
        path = str(self._scope["path"])[:_LONGEST_PATH].encode("unicode_escape").decode()
        view = "" if self.view is None else f" ({_name(self.view)})"
        return f"{self._scope['method']} {path}{view}"

    def __enter__(self) -> None:
        self._token = unit_variable.set(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave_unit(self._token)
        del self._token  # it has the server's context
        try:
            self.end()
        except Exception:
            logger.exception("The end of a request's unit of work failed")


def _name(view: Any) -> str:
    named = getattr(view, "view_class", view)  # what as_view() has made tells nothing
    if not hasattr(named, "__qualname__"):
        named = type(named)
    return f"{named.__module__}.{named.__qualname__}"
