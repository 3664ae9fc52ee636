"""The app's place in the project."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_delete


class BooksConfig(AppConfig):
    """Configuration of the app."""

    name = "demo.books"

    def ready(self) -> None:
        """Listen for deleted reviews."""
        from .signals import count_again

        post_delete.connect(count_again, sender="books.Review", dispatch_uid="books.count_again")
