"""A review and the figures of its book: two writes, in one transaction."""

from __future__ import annotations

from typing import Any

from django.db.models import Avg, Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

import django_loom

from .models import Book, Review


async def save_review(book: Book, user: Any, *, rating: int, text: str) -> Review:
    """Save a user's review of a book, or change the one that is there, and the book's figures.

    :param rating: from 1 to 5.
    """
    async with django_loom.atomic():
        # Whoever else reviews this book waits here, or each would count without the other.
        await Book.objects.select_for_update().aget(pk=book.pk)
        review, _ = await Review.objects.aupdate_or_create(
            book=book, user=user, defaults={"rating": rating, "text": text}
        )
        await Book.objects.filter(pk=book.pk).aupdate(**rating_figures())
    return review


def refresh_ratings(books: QuerySet[Book]) -> None:
    """Make the figures of these books those of the reviews that they have now."""
    books.update(**rating_figures())


def rating_figures() -> dict[str, Any]:
    """Return what ``update()`` sets the figures of a book to; the database works them out."""
    reviews = Review.objects.filter(book=OuterRef("pk")).order_by().values("book")
    return {
        "review_count": Coalesce(Subquery(reviews.annotate(n=Count("pk")).values("n")), 0),
        "average_rating": Subquery(reviews.annotate(mean=Avg("rating")).values("mean")),
    }
