"""Which books a search finds."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from .folding import fold
from .models import Book


def search(text: str) -> QuerySet[Book]:
    """Return the books in whose title, description or author each word of the text occurs.

    :param text: as somebody typed it; all books are returned for none.
    """
    found = Book.objects.select_related("author")
    for word in fold(text).split():
        found = found.filter(Q(search_text__contains=word) | Q(author__search_text__contains=word))
    return found
