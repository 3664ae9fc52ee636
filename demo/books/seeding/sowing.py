"""Puts the seed data in the database; what is there already stays as it is."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils.text import slugify

from ..models import Author, Book, Course, Enrolment, Review
from ..ratings import refresh_ratings
from .catalogue import AUTHORS, MANNERS, MONSTERS, Title
from .readers import COURSES, ENROLMENTS, PASSWORD, REVIEWS, USERS

BOOKS_OF_COURSES = {"love-money-and-manners": MANNERS, "monsters-and-machines": MONSTERS}


@transaction.atomic
def sow() -> None:
    """Make users, books, courses, enrolments and reviews, all of them or none.

    Running it again changes nothing that somebody has edited, and brings back what was deleted.
    """
    for username in USERS:
        _make_user(username)
    for slug, titles in BOOKS_OF_COURSES.items():
        _make_course(slug, [_make_book(each) for each in titles])
    for username, slug in ENROLMENTS:
        Enrolment.objects.get_or_create(user=_user(username), course=Course.objects.get(slug=slug))
    for slug, username, rating, text in REVIEWS:
        Review.objects.get_or_create(
            book=Book.objects.get(slug=slug),
            user=_user(username),
            defaults={"rating": rating, "text": text},
        )
    refresh_ratings(Book.objects.all())


def _user(username: str) -> Any:
    return get_user_model().objects.get(username=username)


def _make_user(username: str) -> None:
    users = get_user_model().objects
    if users.filter(username=username).exists():
        return
    first_name, last_name, is_admin = USERS[username]
    make = users.create_superuser if is_admin else users.create_user
    make(username, password=PASSWORD, first_name=first_name, last_name=last_name)


def _make_book(title: Title) -> Book:
    born, died = AUTHORS[title.author]
    author, _ = Author.objects.get_or_create(
        name=title.author, defaults={"born": born, "died": died}
    )
    book, _ = Book.objects.get_or_create(
        slug=slugify(title.title),
        defaults={
            "title": title.title,
            "author": author,
            "year": title.year,
            "description": title.description,
        },
    )
    return book


def _make_course(slug: str, books: list[Book]) -> None:
    title, summary = COURSES[slug]
    course, is_new = Course.objects.get_or_create(
        slug=slug, defaults={"title": title, "summary": summary}
    )
    if is_new:
        course.books.set(books)
