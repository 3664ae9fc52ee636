"""What every contender's answers are made of, so that their bodies can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KEY = 7  # of the one row that is read
LISTED = 20
IN_TEMPLATE = 50
GATHERED = range(1, 11)
GREETING = "Hello, world!"
USER = "reader"
SLEEP = 10.0  # seconds


def book_as_json(book: Any) -> dict[str, Any]:
    return {
        "id": book.id,
        "title": book.title,
        "author_id": book.author_id,
        "pages": book.pages,
        "price": str(book.price),
        "published": book.published.isoformat(),
    }


def listed_as_json(book: Any, author_name: str) -> dict[str, Any]:
    return {**book_as_json(book), "author": author_name}


def path(handler: Callable[..., Any]) -> str:
    """The path of what answers it: the function's name, but `list` for `list_`."""
    return handler.__name__.rstrip("_")


class Waiting:
    """Counts the requests that sleep now."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *error: object) -> None:
        self.count -= 1


waiting = Waiting()
