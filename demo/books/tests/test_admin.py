"""The admin of the library: each page opens, searches and keeps the figures right."""

from __future__ import annotations

from django.test import TestCase

from demo.books.models import Author, Book, Enrolment, Review

from .library import TEXT, make_library, make_reader


class AdminTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        course = make_library()
        cls.admin = make_reader("admin", is_staff=True, is_superuser=True)
        cls.book = Book.objects.get(slug="jane-eyre")
        Enrolment.objects.create(user=cls.admin, course=course)

    def setUp(self) -> None:
        self.client.force_login(self.admin)

    def test_lists_open_and_search(self) -> None:
        Review.objects.create(book=self.book, user=self.admin, rating=2, text=TEXT)
        for model, words, found in (
            ("author", "bronte", "Charlotte Brontë"),
            ("book", "kieu", "The Tale of Kiều"),
            ("review", "jane", "Jane Eyre"),
            ("course", "novels", "First Novels"),
            ("enrolment", "admin", "First Novels"),
        ):
            with self.subTest(model):
                page = self.client.get(f"/admin/books/{model}/", {"q": words})
                self.assertContains(page, found)
                self.assertContains(self.client.get(f"/admin/books/{model}/add/"), "Save")

    def test_pages_with_inlines_open(self) -> None:
        Review.objects.create(book=self.book, user=self.admin, rating=2, text=TEXT)
        author = Author.objects.get(name="Charlotte Brontë")
        course = self.book.courses.get()
        for path, found in (
            (f"author/{author.pk}", "Villette"),
            (f"book/{self.book.pk}", TEXT),
            (f"course/{course.pk}", "admin"),
        ):
            with self.subTest(path):
                self.assertContains(self.client.get(f"/admin/books/{path}/change/"), found)

    def test_a_review_saved_here_counts(self) -> None:
        data = {"book": self.book.pk, "user": self.admin.pk, "rating": 2, "text": TEXT}
        assert self.client.post("/admin/books/review/add/", data).status_code == 302
        self.book.refresh_from_db()
        assert (self.book.review_count, self.book.average_rating) == (1, 2.0)
        review = Review.objects.get()
        self.client.post(f"/admin/books/review/{review.pk}/change/", {"rating": 5, "text": TEXT})
        self.book.refresh_from_db()
        assert self.book.average_rating == 5.0
