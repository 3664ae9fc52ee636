"""The search, as a page and as what htmx puts into one."""

from __future__ import annotations

from django.test import SimpleTestCase, TestCase

from demo.books.folding import fold
from demo.books.models import Author, Book
from demo.books.searching import search

from .library import make_library


class FoldTests(SimpleTestCase):
    def test_case_and_accents_do_not_count(self) -> None:
        for text, folded in {
            "Brontë": "bronte",
            "Nguyễn Đình": "nguyen dinh",
            "Straße": "strasse",
            "ЯБЛОКО": "яблоко",
        }.items():
            with self.subTest(text):
                assert fold(text) == folded


class SearchTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        make_library()

    def found(self, text: str) -> list[str]:
        return [book.title for book in search(text)]

    def test_words_of_title_author_and_description_find_a_book(self) -> None:
        assert self.found("eyre") == ["Jane Eyre"]
        assert self.found("BRONTE") == ["Jane Eyre", "Villette"]
        assert self.found("bronte abroad") == ["Villette"]
        assert self.found("thuy") == ["The Tale of Kiều"]
        assert self.found("nobody") == []

    def test_wildcards_of_sql_are_letters_like_others(self) -> None:
        assert self.found("%") == []
        assert self.found("_") == []

    def test_no_words_find_all_books(self) -> None:
        assert len(self.found("  ")) == 3

    def test_a_change_is_found_even_when_one_field_is_saved(self) -> None:
        book, author = Book.objects.get(title="Villette"), Author.objects.get(name="Nguyễn Du")
        book.title, author.name = "Shirley", "Hồ Xuân Hương"
        book.save(update_fields=["title"])
        author.save(update_fields=["name"])
        assert self.found("shirley") == ["Shirley"]
        assert self.found("huong") == ["The Tale of Kiều"]


class SearchPageTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        make_library()

    async def test_without_javascript_the_form_gets_the_whole_page(self) -> None:
        response = await self.async_client.get("/books/", {"q": "jane"})
        self.assertContains(response, "<title>“jane” · Books", html=False)
        self.assertContains(response, "1 book for <strong>jane</strong>")
        self.assertContains(response, 'name="q"')
        self.assertNotContains(response, "Villette")

    async def test_htmx_gets_the_books_and_their_number_only(self) -> None:
        response = await self.async_client.get(
            "/books/", {"q": "jane"}, headers={"HX-Request": "true", "HX-Target": "results"}
        )
        self.assertContains(response, "Jane Eyre")
        self.assertContains(response, 'id="result-count"')
        self.assertContains(response, "hx-swap-oob")
        self.assertNotContains(response, "<html")
        assert "HX-Target" in response.headers["Vary"]

    async def test_what_was_searched_is_shown_as_text(self) -> None:
        response = await self.async_client.get("/books/", {"q": "<b>&"})
        self.assertContains(response, "0 books for <strong>&lt;b&gt;&amp;</strong>")
        self.assertNotContains(response, "<b>&")

    async def test_a_search_that_cannot_be_is_an_error_in_the_page(self) -> None:
        for text in ("x" * 101, "a\0b"):
            with self.subTest(text):
                response = await self.async_client.get("/books/", {"q": text})
                self.assertContains(response, 'class="notice error"')
                self.assertContains(response, 'aria-invalid="true"')
