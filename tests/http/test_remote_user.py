"""A user whom the web server in front has authenticated, named in a header."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from django_loom.asgi import get_asgi_application
from tests.http.client import Browser
from tests.loops import LoopRunner

asked: list[str] = []


class Backend(BaseBackend):
    def authenticate(self, request: Any, remote_user: str = "", **credentials: Any) -> None:
        asked.append(remote_user)


urlpatterns = [path("", lambda request: HttpResponse())]


async def get() -> None:
    with override_settings(
        ROOT_URLCONF=__name__,
        AUTHENTICATION_BACKENDS=[f"{__name__}.Backend"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.RemoteUserMiddleware",
        ],
    ):
        await Browser(get_asgi_application()).get("/", remote_user="jane")


def test_remote_user_middleware_reads_the_header(loop_runner: LoopRunner) -> None:
    asked.clear()
    loop_runner(get())
    assert asked == ["jane"]
