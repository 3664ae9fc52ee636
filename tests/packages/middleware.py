"""Middleware of the sites, before that of the packages."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse


def sign_in(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Know the user by the visitor's number, with a query, as a session would."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.user = User.objects.get(username=f"user{request.GET['visitor']}")
        return get_response(request)

    return middleware
