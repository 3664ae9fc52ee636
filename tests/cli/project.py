"""A Django project in a module; the environment variable LOOM_DATABASE has its database."""

from __future__ import annotations

import json
import os

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from django_loom import run_sync
from django_loom.asgi import get_asgi_application

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": json.loads(os.environ["LOOM_DATABASE"])},
    INSTALLED_APPS=["django_loom"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for the tests only",
)


def ask(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return str(cursor.fetchone()[0])


async def seven(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await run_sync(ask, "SELECT 7"))


async def slow(request: HttpRequest) -> HttpResponse:
    print("<slow began>", flush=True)
    return HttpResponse(await run_sync(ask, "SELECT 1 FROM pg_sleep(600)"))


async def client(request: HttpRequest) -> JsonResponse:
    return JsonResponse([request.is_secure(), request.META["REMOTE_ADDR"]], safe=False)


urlpatterns = [path("", seven), path("slow", slow), path("client", client)]
application = get_asgi_application()
