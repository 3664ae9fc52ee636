"""Async views as for stock Django: `a*` methods, and what must run sync in `sync_to_async`."""

from __future__ import annotations

import asyncio

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from benchmarks.http import answers
from benchmarks.shop.models import Book

from .models import Nap20, Nap100
from .urls import paths


async def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(answers.GREETING)


async def orm(request: HttpRequest) -> HttpResponse:
    book = await Book.objects.aget(pk=answers.KEY)
    return JsonResponse(answers.book_as_json(book))


async def list_(request: HttpRequest) -> HttpResponse:
    books = Book.objects.select_related("author").order_by("pk")[: answers.LISTED]
    found = [answers.listed_as_json(book, book.author.name) async for book in books]
    return JsonResponse({"books": found})


# A template that follows a lazy relation queries synchronously: never straight from a coroutine.
render_in_thread = sync_to_async(render)


async def template(request: HttpRequest) -> HttpResponse:
    books = Book.objects.order_by("pk")[: answers.IN_TEMPLATE]
    return await render_in_thread(request, "books.html", {"books": books})


async def session(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    book = await Book.objects.aget(pk=answers.KEY)
    return JsonResponse({"user": user.get_username(), "book": answers.book_as_json(book)})


async def wait(request: HttpRequest) -> HttpResponse:
    nap = await Nap100.objects.aget(pk=answers.KEY)
    return JsonResponse({"id": nap.pk})


async def gather(request: HttpRequest) -> HttpResponse:
    naps = await asyncio.gather(*(Nap20.objects.aget(pk=pk) for pk in answers.GATHERED))
    return JsonResponse({"ids": [nap.pk for nap in naps]})


async def sleep(request: HttpRequest) -> HttpResponse:
    with answers.waiting:
        await asyncio.sleep(answers.SLEEP)
    return JsonResponse({"slept": answers.SLEEP})


async def waiting(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"waiting": answers.waiting.count})


urlpatterns = paths(hello, orm, list_, template, session, wait, gather, sleep, waiting)
