"""The CSRF check, without reading the body where something else is proof enough."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.middleware.csrf import RejectRequest

from .arriving import body_is_unread, without_form
from .placement import streams_body


def check_header_first(check_token: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Wrap ``CsrfViewMiddleware._check_token``, which looks for a form's token first.

    For that it reads a whole upload, before any view could refuse it. A valid token in
    the header makes that needless. So does, for a view with ``@streaming_body``, the
    browser's word that the request comes from our own pages.
    """

    @wraps(check_token)
    def _check_token(self: Any, request: Any) -> None:
        if request.method == "POST" and body_is_unread(request):
            match = request.resolver_match
            if match is not None and streams_body(match.func) and proves_same_origin(request):
                return
            if settings.CSRF_HEADER_NAME in request.META:
                try:
                    with without_form(request):
                        check_token(self, request)
                    return
                except RejectRequest:
                    pass  # the form may have a valid one
        check_token(self, request)

    return _check_token


def proves_same_origin(request: HttpRequest) -> bool:
    """Tell if the browser says that a page of this very origin made the request.

    Pages can set neither header. Sources: W3C Fetch Metadata Request Headers, section
    2.3; Fetch Standard, "`Origin` header".
    """
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return bool(site == "same-origin")
    return bool(request.META.get("HTTP_ORIGIN") == f"{request.scheme}://{request.get_host()}")
