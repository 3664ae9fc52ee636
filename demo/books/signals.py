"""Reviews also go when their user is deleted; the figures of their books follow."""

from __future__ import annotations

from typing import Any

from .models import Book, Review
from .ratings import refresh_ratings


def count_again(sender: type[Review], instance: Review, **_: Any) -> None:
    """Refresh the figures of the book whose review was deleted."""
    refresh_ratings(Book.objects.filter(pk=instance.book_id))
