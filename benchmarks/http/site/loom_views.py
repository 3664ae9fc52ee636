"""The async views again, except that the template is rendered on the loop, not in a thread."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from benchmarks.http import answers
from benchmarks.shop.models import Book
from django_loom import run_sync

from . import async_views
from .urls import paths


async def template(request: HttpRequest) -> HttpResponse:
    books = Book.objects.order_by("pk")[: answers.IN_TEMPLATE]
    return await run_sync(render, request, "books.html", {"books": books})


urlpatterns = [*paths(template), *async_views.urlpatterns]
