"""The library: async views, whose templates follow relations as in any Django project.

They return ``TemplateResponse``, which django-loom renders in the greenlet of the request:
there a query waits on the loop, so ``{{ book.author }}`` may run one. ``render()`` would
run it in the coroutine itself, which Django refuses.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

import django_loom

from .forms import ReviewForm, SearchForm
from .models import Book, Course, Enrolment, Review
from .ratings import save_review
from .searching import search

PAGE_SIZE = 10


@require_safe
async def book_list(request: HttpRequest) -> HttpResponse:
    """Show the books that a search finds, page by page; to htmx only these, without the page."""
    form = SearchForm(request.GET)
    query = form.cleaned_data["q"].strip() if form.is_valid() else ""
    books = search(query) if form.is_valid() else Book.objects.none()
    # Django's own synchronous paginator, whose count is a query: on the loop nevertheless.
    page = await django_loom.run_sync(
        Paginator(books, PAGE_SIZE).get_page, request.GET.get("page", 1)
    )
    only_results = request.headers.get("HX-Target") == "results"
    template = "books/found.html" if only_results else "books/list.html"
    context = {"form": form, "query": query, "page": page}
    if not only_results:
        context["courses"] = Course.objects.annotate(book_count=Count("books"))
    response = TemplateResponse(request, template, context)
    patch_vary_headers(response, ["HX-Target"])
    return response


@require_safe
async def book_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a book: what the template asks of it, and three queries at the same time."""
    book = await aget_object_or_404(Book, slug=slug)
    mine, ratings, courses = await asyncio.gather(
        _review_of(await request.auser(), book),
        _ratings(book),
        _all(book.courses.all()),
    )
    context = {
        "book": book,
        "mine": mine,
        "ratings": ratings,
        "courses": courses,
        "form": ReviewForm(instance=mine),
    }
    return TemplateResponse(request, "books/detail.html", context)


@login_required
async def review(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a user's review of a book; show the form again, with what is wrong, if need be."""
    book = await aget_object_or_404(Book, slug=slug)
    user = await request.auser()
    mine = await _review_of(user, book)
    form = ReviewForm(request.POST if request.method == "POST" else None, instance=mine)
    # Validation asks the database to check the constraints of the model.
    if await django_loom.run_sync(form.is_valid):
        await save_review(book, user, **form.cleaned_data)
        messages.success(request, f"Your review of “{book.title}” is saved.")
        return redirect(book)
    context = {"book": book, "mine": mine, "form": form}
    status = 422 if form.errors else 200
    return TemplateResponse(request, "books/review.html", context, status=status)


@require_safe
async def course_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a course, its books, and if the user is enrolled in it."""
    course = await aget_object_or_404(Course, slug=slug)
    user = await request.auser()
    enrolled = user.is_authenticated and await user.enrolments.filter(course=course).aexists()
    books = course.books.select_related("author")
    context = {"course": course, "books": books, "enrolled": enrolled}
    return TemplateResponse(request, "books/course.html", context)


@login_required
async def enrol(request: HttpRequest, slug: str) -> HttpResponse:
    """Enrol the user in a course; a GET, as after logging in, shows the course with its button."""
    course = await aget_object_or_404(Course, slug=slug)
    if request.method == "POST":
        await Enrolment.objects.aget_or_create(user=await request.auser(), course=course)
        messages.success(request, f"You are enrolled in “{course.title}”.")
    return redirect(course)


async def _review_of(user: Any, book: Book) -> Review | None:
    if not user.is_authenticated:
        return None
    return await Review.objects.filter(book=book, user=user).afirst()


async def _ratings(book: Book) -> list[dict[str, int]]:
    """Return how many readers gave each rating, from the best down."""
    counts = book.reviews.order_by().values_list("rating").annotate(Count("pk"))
    found = {rating: count async for rating, count in counts}
    return [{"rating": rating, "count": found.get(rating, 0)} for rating in range(5, 0, -1)]


async def _all(rows: Any) -> list[Any]:
    return [row async for row in rows]
