"""A small library for the tests."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from demo.books.models import Author, Book, Course

TEXT = "A text that is long enough for a review."


def make_reader(name: str, **options: Any) -> Any:
    """Make a user without a password, for ``force_login()``: hashing one takes its time."""
    return get_user_model().objects.create(username=name, **options)


def make_library() -> Course:
    """Make two authors, three books, and a course of two of them."""
    bronte = Author.objects.create(name="Charlotte Brontë", born=1816, died=1855)
    du = Author.objects.create(name="Nguyễn Du", born=1766, died=1820)
    books = [
        _make_book("Jane Eyre", bronte, 1847, "A governess and a locked door."),
        _make_book("Villette", bronte, 1853, "A teacher, abroad and alone."),
        _make_book("The Tale of Kiều", du, 1820, "A poem of Thúy Kiều."),
    ]
    course = Course.objects.create(title="First Novels", slug="first-novels", summary="Two books.")
    course.books.set(books[:2])
    return course


def _make_book(title: str, author: Author, year: int, description: str) -> Book:
    slug = title.lower().replace(" ", "-").replace("ề", "e")
    return Book.objects.create(
        title=title, slug=slug, author=author, year=year, description=description
    )
