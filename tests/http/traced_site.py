"""A site whose every query and span has the number of its request in it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import View

from django_loom import in_thread, on_loop
from tests.testapp.models import Marker


def work(name: str) -> AbstractContextManager[object]:
    """A span of the user's own; the tool that traces the site puts its own function here."""
    return nullcontext()


def of(number: int) -> str:
    """What stands in the SQL of a request, to tell whose query it is."""
    return f"owner = {number}"


def plain(request: HttpRequest, number: int) -> HttpResponse:
    with work(f"plain {number}"):
        Marker.objects.extra(where=[of(number)]).count()
        with connection.cursor() as cursor:
            cursor.executemany(f"SELECT %s WHERE {number} = {number} -- {of(number)}", [[1], [2]])
    return HttpResponse(str(number))


async def gathered(request: HttpRequest, number: int) -> HttpResponse:
    async def count(part: int) -> None:
        with work(f"part {part} {number}"):
            await Marker.objects.extra(where=[of(number)]).acount()

    with work(f"gathered {number}"):
        await asyncio.gather(*map(count, range(3)))
    return HttpResponse(str(number))


class ClassView(View):
    def get(self, request: HttpRequest, number: int) -> HttpResponse:
        return plain(request, number)


def failing(request: HttpRequest, number: int) -> HttpResponse:
    plain(request, number)
    raise ValueError(f"fault {number}")


urlpatterns = [
    path("plain/<int:number>/", plain),
    path("gathered/<int:number>/", gathered),
    path("class/<int:number>/", ClassView.as_view()),
    path("failing/<int:number>/", failing),
    path("loop/", on_loop(include([path("<int:number>/", plain)]))),
    path("thread/", in_thread(include([path("<int:number>/", plain)]))),
]
KINDS = ["plain", "gathered", "class", "failing", "loop", "thread"]
REQUESTS = [f"/{kind}/{number}/" for number, kind in enumerate(KINDS * 5, start=1000)]
