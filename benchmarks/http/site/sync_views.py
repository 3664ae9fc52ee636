"""Synchronous views: for WSGI, and for ASGI handlers to run in threads or on the loop."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from benchmarks.http import answers
from benchmarks.shop.models import Book

from .models import Nap20, Nap100
from .urls import paths


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(answers.GREETING)


def orm(request: HttpRequest) -> HttpResponse:
    book = Book.objects.get(pk=answers.KEY)
    return JsonResponse(answers.book_as_json(book))


def list_(request: HttpRequest) -> HttpResponse:
    books = Book.objects.select_related("author").order_by("pk")[: answers.LISTED]
    found = [answers.listed_as_json(book, book.author.name) for book in books]
    return JsonResponse({"books": found})


def template(request: HttpRequest) -> HttpResponse:
    books = Book.objects.order_by("pk")[: answers.IN_TEMPLATE]
    return render(request, "books.html", {"books": books})


def session(request: HttpRequest) -> HttpResponse:
    book = Book.objects.get(pk=answers.KEY)
    user = request.user.get_username()
    return JsonResponse({"user": user, "book": answers.book_as_json(book)})


def wait(request: HttpRequest) -> HttpResponse:
    nap = Nap100.objects.get(pk=answers.KEY)
    return JsonResponse({"id": nap.pk})


def gather(request: HttpRequest) -> HttpResponse:
    """One after the other: there is nothing else that a sync view can do on its own."""
    naps = [Nap20.objects.get(pk=pk) for pk in answers.GATHERED]
    return JsonResponse({"ids": [nap.pk for nap in naps]})


urlpatterns = paths(hello, orm, list_, template, session, wait, gather)
