"""Requests through Django's ASGI handler, under any server: no lease outlives its request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

import django_loom
from tests.db.support import in_use
from tests.http import asgi
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author

pytestmark = pytest.mark.usefixtures("db_tables")


def sync_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Author.objects.count()))


@transaction.atomic
def atomic_view(request: HttpRequest) -> HttpResponse:
    return sync_view(request)


async def async_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await Author.objects.acount()))


async def users_thread_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await sync_to_async(Author.objects.count)()))


async def stream_view(request: HttpRequest) -> StreamingHttpResponse:
    async def rows() -> Any:
        async for author in Author.objects.aiterator(chunk_size=1):
            yield author.name

    return StreamingHttpResponse(rows())


VIEWS = [sync_view, atomic_view, async_view, users_thread_view, stream_view]
urlpatterns = [path(f"{view.__name__}/", view) for view in VIEWS]


async def get(application: Any, url: str) -> bytes:
    connection = await asgi.get(url, application=application)
    assert connection.status == 200
    return connection.content


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_more_requests_than_connections_one_after_another_and_at_once(
    loop_runner: LoopRunner, view: Any
) -> None:
    async def main() -> None:
        await Author.objects.acreate(name="1")
        application = get_asgi_application()
        url = f"/{view.__name__}/"
        limit = django_loom.pool("default").statistics().max
        for _ in range(limit + 1):
            assert await get(application, url) == b"1"
        assert set(await asyncio.gather(*[get(application, url) for _ in range(limit)])) == {b"1"}
        await aeventually(lambda: in_use() == 0)

    with override_settings(ROOT_URLCONF=__name__):
        loop_runner(main)
