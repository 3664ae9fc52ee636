"""What serves requests: units of work, middleware, and locals."""

from __future__ import annotations

import logging
from _threading_local import local as PythonThreadLocal
from functools import wraps
from types import MethodType
from typing import Any
from weakref import ref

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest

from django_loom.bridge import (
    begin_unit,
    leave_unit,
)
from django_loom.units import Local, ThreadLocal

logger = logging.getLogger("django_loom")


def as_unit(original: Any) -> Any:
    """Serve a request of Django's own handlers as a unit of work, as ours does."""

    @wraps(original)
    async def serve(*args: Any, **kwargs: Any) -> Any:
        unit, token = begin_unit()
        try:
            return await original(*args, **kwargs)
        finally:
            leave_unit(token)
            try:
                unit.end()
            except Exception as error:
                logger.warning("%s", error)

    return serve


def local_of_units(original: Any) -> Any:
    """Make locals that a unit of work keeps, but where another has replaced the class."""
    return Local if original in (ThreadLocal, PythonThreadLocal) else original


def call_method_directly(original: Any) -> Any:
    """Let the chain of middleware call a bound method where it has an object to call.

    Python calls a method without using the C stack, an object not. Of the C stack each
    wait copies what is in use, to and fro.
    """

    @wraps(original)
    def convert_exception_to_response(get_response: Any) -> Any:
        method = getattr(get_response, "__call__", None)  # noqa: B004 - only objects have one
        if isinstance(method, MethodType) and not iscoroutinefunction(get_response):
            get_response = method
        return original(get_response)

    return convert_exception_to_response


def csrf_before_body(original: Any) -> Any:
    """Check a CSRF token in the header before the body is read."""
    from django_loom.http.csrf import check_header_first

    return check_header_first(original)


def remote_user_by_header(original: Any) -> Any:
    """Look for the user where the async twin does: an ASGI request has no ``REMOTE_USER``."""

    @wraps(original)
    def process_request(self: Any, request: Any) -> None:
        if isinstance(request, ASGIRequest):
            async_to_sync(self.aprocess_request)(request)
        else:
            original(self, request)

    return process_request


def note_iterators(original: Any) -> Any:
    """Let a streamed response know each iterator that it is to close.

    By itself it knows those that have a ``close()`` and are no iterator of another object.
    """
    from django_loom.http.responses import ASYNC_ITERATORS

    @wraps(original)
    def _set_streaming_content(self: Any, value: Any) -> None:
        original(self, value)
        if self.is_async:
            vars(self).setdefault(ASYNC_ITERATORS, []).append(self._iterator)
        elif not hasattr(value, "close") and hasattr(self._iterator, "close"):
            self._resource_closers.append(self._iterator.close)

    return _set_streaming_content


def note_readers(original: Any) -> property:
    """Let a streamed response know who reads which of its iterators."""
    from django_loom.http.responses import READERS

    def streaming_content(self: Any) -> Any:
        content = original.fget(self)
        if self.is_async:
            vars(self).setdefault(READERS, []).append((self._iterator, ref(content)))
        return content

    return property(streaming_content, original.fset, doc=original.__doc__)
