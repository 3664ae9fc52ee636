"""Views for the test client: on the loop, async, in threads, streams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.csrf import csrf_protect

import django_loom
from tests.testapp.models import Author

closed: list[str] = []
counted: list[int] = []


def add_and_count() -> dict[str, Any]:
    Author.objects.create(name=f"of the request {Author.objects.count()}")
    return {
        "count": Author.objects.count(),
        "in_thread": threading.current_thread().name.startswith("django_loom"),
    }


@django_loom.on_loop
def on_loop(request: HttpRequest) -> HttpResponse:
    return JsonResponse(add_and_count())


@django_loom.in_thread
def in_thread(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        return JsonResponse(add_and_count())


async def in_coroutine(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return JsonResponse(await django_loom.run_sync(add_and_count))


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html", {"names": [each.name for each in Author.objects.all()]})


@csrf_protect
def echo(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(request.POST.get("name", "") or request.body)
    response.set_cookie("seen", "yes")
    return response


@login_required
def account(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def fails(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("of the view")


def names() -> Iterator[str]:
    try:
        for each in Author.objects.order_by("name").iterator(chunk_size=1):
            yield each.name
    finally:
        closed.append("sync")


@django_loom.on_loop
def stream_on_loop(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(names())


@django_loom.in_thread
def stream_in_thread(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(names())


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        try:
            while True:
                yield f"{await Author.objects.acount()}"
        finally:
            closed.append("async")

    return StreamingHttpResponse(parts())


async def waits(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        try:
            count = await Author.objects.acount()
            counted.append(count)
            yield f"{count}"
            # Not for the database: a query that is cut short aborts the test's transaction.
            await asyncio.Event().wait()
        finally:
            closed.append("async")

    return StreamingHttpResponse(parts())


async def breaks(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        raise ZeroDivisionError("of the stream")

    return StreamingHttpResponse(parts())


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(__file__, "rb"))


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (
        on_loop,
        in_thread,
        in_coroutine,
        page,
        echo,
        account,
        fails,
        stream_on_loop,
        stream_in_thread,
        endless,
        waits,
        breaks,
        file,
    )
]
