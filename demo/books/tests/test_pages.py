"""The pages to read: the list, a book, a course."""

from __future__ import annotations

from django.test import TestCase

from demo.books.models import Author, Book, Course, Enrolment, Review

from .library import TEXT, make_library, make_reader


class ListTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        make_library()
        author = Author.objects.create(name="Many", born=1900)
        for number in range(20):
            Book.objects.create(
                title=f"Zz {number:02}", slug=f"zz-{number}", author=author, year=1930
            )

    async def test_pages_follow_each_other(self) -> None:
        first = await self.async_client.get("/books/")
        self.assertContains(first, "Page 1 of 3")
        self.assertContains(first, "23 books")
        self.assertNotContains(first, "Previous")
        last = await self.async_client.get("/books/?page=3")
        self.assertContains(last, "Zz 19")
        self.assertNotContains(last, "Next")

    async def test_a_page_that_is_none_is_the_first_or_the_last(self) -> None:
        self.assertContains(await self.async_client.get("/books/?page=x"), "Page 1 of 3")
        self.assertContains(await self.async_client.get("/books/?page=99"), "Page 3 of 3")

    async def test_pages_of_a_search_keep_the_search(self) -> None:
        response = await self.async_client.get("/books/", {"q": "zz", "page": 1})
        self.assertContains(response, "?q=zz&amp;page=2")

    async def test_courses_are_named_with_their_number_of_books(self) -> None:
        response = await self.async_client.get("/books/")
        self.assertContains(response, "/books/courses/first-novels/")
        self.assertContains(response, "2 books")

    async def test_a_list_is_read_only(self) -> None:
        assert (await self.async_client.post("/books/")).status_code == 405


class DetailTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        make_library()
        cls.ann = make_reader("ann", first_name="Ann", last_name="Weaver")
        book = Book.objects.get(slug="jane-eyre")
        Review.objects.create(book=book, user=cls.ann, rating=4, text="<script>alert(1)</script>")
        Book.objects.update(review_count=1, average_rating=4)

    async def test_the_template_follows_lazy_relations(self) -> None:
        response = await self.async_client.get("/books/jane-eyre/")
        self.assertContains(response, "by Charlotte Brontë")
        self.assertContains(response, "Ann Weaver")  # of the review's user
        self.assertContains(response, "Also by Charlotte Brontë")
        self.assertContains(response, "Villette")
        self.assertContains(response, "First Novels")

    async def test_reviews_are_shown_as_text(self) -> None:
        response = await self.async_client.get("/books/jane-eyre/")
        self.assertContains(response, "&lt;script&gt;alert(1)")
        self.assertNotContains(response, "<script>alert")

    async def test_strangers_are_asked_to_log_in(self) -> None:
        response = await self.async_client.get("/books/jane-eyre/")
        self.assertContains(response, "/accounts/login/?next=/books/jane-eyre/%23review")
        self.assertNotContains(response, "<textarea")

    async def test_readers_find_their_review_in_the_form(self) -> None:
        await self.async_client.aforce_login(self.ann)
        response = await self.async_client.get("/books/jane-eyre/")
        self.assertContains(response, "Change your review")
        self.assertContains(response, 'value="4" checked')

    async def test_what_is_not_there_is_not_found(self) -> None:
        for path in ("/books/none/", "/books/courses/none/"):
            assert (await self.async_client.get(path)).status_code == 404


class CourseTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        make_library()
        cls.ann = make_reader("ann")

    async def test_enrolling_twice_is_enrolling_once(self) -> None:
        await self.async_client.aforce_login(self.ann)
        page = "/books/courses/first-novels/"
        self.assertContains(await self.async_client.get(page), "Enrol</button>")
        for _ in range(2):
            response = await self.async_client.post(f"{page}enrol/", follow=True)
            self.assertContains(response, "You are enrolled")
        assert await Enrolment.objects.filter(user=self.ann).acount() == 1

    async def test_a_stranger_logs_in_first_and_then_finds_the_course(self) -> None:
        path = "/books/courses/first-novels/enrol/"
        response = await self.async_client.post(path)
        self.assertRedirects(
            response, f"/accounts/login/?next={path}", fetch_redirect_response=False
        )
        await self.async_client.aforce_login(self.ann)
        response = await self.async_client.get(path)
        self.assertRedirects(
            response, "/books/courses/first-novels/", fetch_redirect_response=False
        )
        assert not await Enrolment.objects.aexists()


class NameTests(TestCase):
    def test_things_are_called_by_what_readers_know(self) -> None:
        course, ann = make_library(), make_reader("ann")
        book = Book.objects.get(slug="villette")
        review = Review.objects.create(book=book, user=ann, rating=1, text=TEXT)
        enrolment = Enrolment.objects.create(user=ann, course=course)
        named = [str(each) for each in (book, book.author, review, course, enrolment)]
        assert named == [
            "Villette",
            "Charlotte Brontë",
            "ann on Villette",
            "First Novels",
            "ann in First Novels",
        ]
        assert Course.objects.get().get_absolute_url() == "/books/courses/first-novels/"
