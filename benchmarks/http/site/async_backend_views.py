"""The async views on django-async-backend: what it generates, and stock Django for the rest.

The session, the user and the template's lazy relations are Django's own code on Django's own
connections, which the library leaves as they are.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django_async_backend.db import async_new_connection

from benchmarks.http import answers
from benchmarks.shop import models

from . import async_views
from . import models as naps
from .urls import paths

# Its app adds `async_objects` to every model class: not in Django's type stubs.
Book: Any = models.Book
Nap20: Any = naps.Nap20
Nap100: Any = naps.Nap100


async def orm(request: HttpRequest) -> HttpResponse:
    book = await Book.async_objects.aget(pk=answers.KEY)
    return JsonResponse(answers.book_as_json(book))


async def list_(request: HttpRequest) -> HttpResponse:
    books = Book.async_objects.select_related("author").order_by("pk")[: answers.LISTED]
    found = [answers.listed_as_json(book, book.author.name) async for book in books]
    return JsonResponse({"books": found})


async def session(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    book = await Book.async_objects.aget(pk=answers.KEY)
    return JsonResponse({"user": user.get_username(), "book": answers.book_as_json(book)})


async def wait(request: HttpRequest) -> HttpResponse:
    nap = await Nap100.async_objects.aget(pk=answers.KEY)
    return JsonResponse({"id": nap.pk})


async def gather(request: HttpRequest) -> HttpResponse:
    reads = (Nap20.async_objects.aget(pk=pk) for pk in answers.GATHERED)
    # A connection belongs to the task that took it: each gathered read needs one of its own.
    found = await asyncio.gather(*(async_new_connection(read) for read in reads))
    return JsonResponse({"ids": [nap.pk for nap in found]})


urlpatterns = [*paths(orm, list_, session, wait, gather), *async_views.urlpatterns]
