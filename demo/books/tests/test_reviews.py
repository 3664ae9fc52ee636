"""Reviews: what is refused, and the two writes of one transaction."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest
from django.db import IntegrityError, transaction
from django.test import AsyncClient, TestCase

from demo.books import ratings
from demo.books.models import Book, Review
from demo.books.ratings import save_review
from django_loom import run_sync

from .library import TEXT, make_library, make_reader

REVIEW = "/books/jane-eyre/review/"


class ReviewTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        make_library()
        cls.ann, cls.bob = make_reader("ann"), make_reader("bob")

    async def figures(self) -> tuple[int, float | None]:
        book = await Book.objects.aget(slug="jane-eyre")
        return book.review_count, book.average_rating

    async def test_a_review_is_saved_and_counted(self) -> None:
        await self.async_client.aforce_login(self.ann)
        response = await self.async_client.post(REVIEW, {"rating": 4, "text": TEXT}, follow=True)
        self.assertContains(response, "Your review of “Jane Eyre” is saved.")
        self.assertContains(response, TEXT)
        assert await self.figures() == (1, 4.0)

    async def test_a_second_thought_replaces_the_first(self) -> None:
        await self.async_client.aforce_login(self.ann)
        for rating in (1, 5):
            await self.async_client.post(REVIEW, {"rating": rating, "text": f"{TEXT} {rating}"})
        review = await Review.objects.aget()
        assert (review.rating, review.text) == (5, f"{TEXT} 5")
        assert await self.figures() == (1, 5.0)

    async def test_errors_are_said_beside_their_fields_and_nothing_is_saved(self) -> None:
        await self.async_client.aforce_login(self.ann)
        response = await self.async_client.post(REVIEW, {"text": "Too short <i>"})
        self.assertContains(response, "Choose a rating from 1 to 5.", status_code=422)
        page = response.content.decode()
        assert "Write at least 20 characters; these are 13." in page
        assert 'role="alert"' in page
        assert 'href="#id_rating_0"' in page
        assert 'aria-describedby="text-error text-help" aria-invalid="true"' in page
        assert "Too short &lt;i&gt;</textarea>" in page
        assert not await Review.objects.aexists()

    async def test_what_a_browser_does_not_send_is_refused(self) -> None:
        await self.async_client.aforce_login(self.ann)
        for data in (
            {},
            {"rating": 6, "text": TEXT},
            {"rating": "many", "text": TEXT},
            {"rating": 3, "text": "x" * 2001},
            {"rating": 3, "text": TEXT + "\0"},
        ):
            with self.subTest(data):
                response = await self.async_client.post(REVIEW, data)
                assert response.status_code == 422
        assert not await Review.objects.aexists()

    async def test_strangers_log_in_first(self) -> None:
        response = await self.async_client.post(REVIEW, {"rating": 4, "text": TEXT})
        self.assertRedirects(
            response, f"/accounts/login/?next={REVIEW}", fetch_redirect_response=False
        )
        await self.async_client.aforce_login(self.ann)
        self.assertContains(await self.async_client.get(REVIEW), "<textarea")
        assert not await Review.objects.aexists()

    async def test_another_site_cannot_send_one(self) -> None:
        client = AsyncClient(enforce_csrf_checks=True)
        await client.aforce_login(self.ann)
        response = await client.post(REVIEW, {"rating": 4, "text": TEXT})
        assert response.status_code == 403

    async def test_the_review_is_not_saved_if_its_book_cannot_be(self) -> None:
        book = await Book.objects.aget(slug="jane-eyre")
        fault = patch.object(ratings, "rating_figures", side_effect=RuntimeError)
        with fault, pytest.raises(RuntimeError):
            await save_review(book, self.ann, rating=4, text=TEXT)
        assert not await Review.objects.aexists()

    async def test_a_deleted_review_no_longer_counts(self) -> None:
        book = await Book.objects.aget(slug="jane-eyre")
        await save_review(book, self.ann, rating=5, text=TEXT)
        await save_review(book, self.bob, rating=2, text=TEXT)
        assert await self.figures() == (2, 3.5)
        await self.bob.adelete()
        assert await self.figures() == (1, 5.0)
        await self.ann.adelete()
        assert await self.figures() == (0, None)

    def test_the_database_holds_one_review_a_user_and_book(self) -> None:
        book = Book.objects.get(slug="jane-eyre")
        Review.objects.create(book=book, user=self.ann, rating=1, text=TEXT)
        for rating, user in ((1, self.ann), (6, self.bob)):
            with pytest.raises(IntegrityError), transaction.atomic():
                Review.objects.create(book=book, user=user, rating=rating, text=TEXT)


class ManyReadersTests(TestCase):
    async def test_readers_at_the_same_time_are_all_counted(self) -> None:
        await run_sync(make_library)
        readers = [await run_sync(make_reader, f"reader{n}") for n in range(5)]
        book = await Book.objects.aget(slug="villette")
        await asyncio.gather(
            *(save_review(book, user, rating=n + 1, text=TEXT) for n, user in enumerate(readers)),
            *(save_review(book, user, rating=n + 1, text=TEXT) for n, user in enumerate(readers)),
        )
        await book.arefresh_from_db()
        assert (book.review_count, book.average_rating) == (5, 3.0)
