"""The seed command."""

from __future__ import annotations

from io import StringIO

from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command
from django.test import TestCase, override_settings

from demo.books.models import Author, Book, Course, Enrolment, Review


def seed() -> str:
    """Run the command, and return what it says."""
    said = StringIO()
    call_command("seed", stdout=said)
    return said.getvalue()


def everything() -> list[list[dict[str, object]]]:
    """Return all rows of all tables."""
    models = (get_user_model(), Author, Book, Course, Enrolment, Review)
    return [list(model.objects.order_by("pk").values()) for model in models]


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class SeedTests(TestCase):
    def test_it_fills_the_library(self) -> None:
        assert seed() == "The library has 20 books for 2 courses.\n"
        assert Enrolment.objects.filter(user__username="ann").count() == 2
        assert Enrolment.objects.filter(user__username="bob").exists()
        book = Book.objects.get(slug="pride-and-prejudice")
        assert (book.review_count, book.average_rating) == (2, 4.5)
        for course in Course.objects.all():
            assert course.books.count() == 10

    def test_the_users_can_log_in(self) -> None:
        seed()
        for name in ("ann", "bob", "admin"):
            user = authenticate(username=name, password="loom-demo")
            assert user is not None, name
            assert user.is_superuser == (name == "admin")

    def test_running_it_again_changes_nothing(self) -> None:
        seed()
        before = everything()
        seed()
        assert everything() == before

    def test_what_somebody_has_edited_stays(self) -> None:
        seed()
        Book.objects.filter(slug="dracula").update(description="Mine.")
        Course.objects.get(slug="monsters-and-machines").books.clear()
        seed()
        assert Book.objects.get(slug="dracula").description == "Mine."
        assert Course.objects.get(slug="monsters-and-machines").books.count() == 0
