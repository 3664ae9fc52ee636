"""``python -m demo.manage seed``: fills a new site."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from demo.books.models import Book, Course
from demo.books.seeding.sowing import sow


class Command(BaseCommand):
    """Make the demo's users, books and courses, where they are not there yet."""

    help = "Makes users, books and courses, where they are not there yet."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it."""
        sow()
        books, courses = Book.objects.count(), Course.objects.count()
        self.stdout.write(f"The library has {books} books for {courses} courses.")
