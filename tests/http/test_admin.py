"""The admin, as it comes with Django, with its views in threads and on the loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import override_settings
from django.urls import path

from django_loom.asgi import get_asgi_application
from tests.http.client import Answer, Browser
from tests.loops import LoopRunner
from tests.testapp.models import Author, Book

# One request after the other through Django's own code, whose waits are those of tests/db.
one_loop = pytest.mark.one_loop

pytestmark = pytest.mark.usefixtures("db_tables")


class BookInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Book
    fields = ["title", "price"]
    extra = 1


class AuthorAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "born", "titles"]
    list_filter = ["born"]
    search_fields = ["name", "books__title"]
    date_hierarchy = "born"
    inlines = [BookInline]
    actions = ["shout"]

    @admin.display(description="titles")
    def titles(self, author: Author) -> str:
        return ", ".join(author.books.values_list("title", flat=True))

    @admin.action(description="Shout")
    def shout(self, request: HttpRequest, authors: QuerySet[Author]) -> None:
        for author in authors:
            author.name = author.name.upper()
            author.save()
        self.message_user(request, f"Shouted {len(authors)} names.")


site = admin.AdminSite(name="admin")
site.register(Author, AuthorAdmin)
site.register(Group)
urlpatterns = [path("admin/", site.urls)]

PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": PROCESSORS},
    }
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


@pytest.fixture(params=["thread", "loop"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    with override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=MIDDLEWARE,
        TEMPLATES=TEMPLATES,
        STATIC_URL="/static/",
        LOOM={"SYNC_VIEWS": request.param},
    ):
        yield request.param


@pytest.fixture
def admins_browser(mode: str) -> Callable[[], Awaitable[Browser]]:
    """Returns a browser in which the superuser has logged in."""
    User.objects.create_superuser("root", password="secret")
    connections.close_all()  # later tests count the connections in use

    async def log_in() -> Browser:
        browser = Browser(get_asgi_application())
        await browser.get("/admin/login/")
        form = {"username": "root", "password": "secret", "next": "/admin/"}
        answer = await browser.post("/admin/login/", form)
        assert (answer.status, answer.headers["location"]) == (302, "/admin/")
        return browser

    return log_in


def inline(total: int, initial: int, **fields: Any) -> dict[str, Any]:
    management = {"TOTAL_FORMS": total, "INITIAL_FORMS": initial}
    return {f"books-{name}": value for name, value in (management | fields).items()}


def book(number: int, **fields: Any) -> dict[str, Any]:
    return {f"{number}-{name}": value for name, value in fields.items()}


def went_to(answer: Answer) -> str:
    assert answer.status == 302, answer.text
    return answer.headers["location"]


async def message(browser: Browser, url: str = "/admin/") -> str:
    """What the next page says of what was done."""
    found = re.search(r'<li class="(?:success|info)">(.*?)</li>', (await browser.get(url)).text)
    return re.sub("<.*?>", "", found[1]) if found else ""


@one_loop
def test_it_asks_for_a_login(loop_runner: LoopRunner, mode: str) -> None:
    async def main() -> None:
        browser = Browser(get_asgi_application())
        answer = await browser.get("/admin/testapp/author/")
        assert went_to(answer) == "/admin/login/?next=/admin/testapp/author/"
        page = await browser.get("/admin/login/")
        assert (page.status, "Log in" in page.text) == (200, True)
        refused = await browser.post("/admin/login/", {"username": "x", "password": "y"})
        assert "Please enter the correct username and password" in refused.text
        browser.cookies.clear()
        assert (await browser.post("/admin/login/", {"username": "x"})).status == 403

    loop_runner(main)


@one_loop
def test_views_run_where_the_setting_says(
    loop_runner: LoopRunner, mode: str, admins_browser: Callable[[], Awaitable[Browser]]
) -> None:
    async def main() -> None:
        browser = await admins_browser()
        for url in ("/admin/", "/admin/testapp/author/", "/admin/testapp/author/add/"):
            assert (await browser.get(url)).status == 200
        uses = browser.application.threads.statistics().uses
        assert (uses == 0) if mode == "loop" else (uses >= 5)

    loop_runner(main)


@one_loop
def test_add_change_and_delete_with_an_inline_and_the_history(
    loop_runner: LoopRunner, admins_browser: Callable[[], Awaitable[Browser]]
) -> None:
    async def main() -> None:
        browser = await admins_browser()
        page = await browser.get("/admin/testapp/author/add/")
        assert "books-0-title" in page.text

        invalid = {"name": "", "born": "1900-13-01", **inline(0, 0)}
        page = await browser.post("/admin/testapp/author/add/", invalid)
        assert page.status == 200
        assert "This field is required" in page.text
        assert "Enter a valid date" in page.text

        first = inline(1, 0, **book(0, title="One", price="1.50"))
        form = {"name": "Ann", "born": "1900-01-02", **first}
        assert went_to(await browser.post("/admin/testapp/author/add/", form)).endswith("/author/")
        assert "was added successfully" in await message(browser)
        author = await Author.objects.aget(name="Ann")
        one = await author.books.aget()
        assert (one.title, str(one.price)) == ("One", "1.50")

        change = f"/admin/testapp/author/{author.pk}/change/"
        assert 'value="One"' in (await browser.get(change)).text
        books = {
            **book(0, id=one.pk, author=author.pk, title="One", price="1", DELETE="on"),
            **book(1, author=author.pk, title="Two", price="2"),
        }
        form = {"name": "Anne", "born": "1900-01-02", **inline(2, 1, **books)}
        assert went_to(await browser.post(change, form)).endswith("/author/")
        assert [each.title async for each in author.books.all()] == ["Two"]

        delete = f"/admin/testapp/author/{author.pk}/delete/"
        assert "Are you sure" in (await browser.get(delete)).text
        assert went_to(await browser.post(delete, {"post": "yes"})).endswith("/author/")
        assert await Book.objects.acount() == await Author.objects.acount() == 0

        kind = await ContentType.objects.aget(model="author")
        entries = LogEntry.objects.filter(content_type=kind).order_by("pk")
        flags = [each.action_flag async for each in entries]
        assert flags == [ADDITION, CHANGE, DELETION]
        assert "Recent actions" in (await browser.get("/admin/")).text

    loop_runner(main)


@one_loop
def test_list_with_search_filter_dates_and_pages(
    loop_runner: LoopRunner, admins_browser: Callable[[], Awaitable[Browser]]
) -> None:
    for number in range(120):
        author = Author.objects.create(name=f"Name {number:03}", born=f"{1900 + number}-01-01")
        Book.objects.create(title=f"Title {number:03}", author=author)

    async def names(browser: Browser, query: str) -> list[str]:
        page = await browser.get(f"/admin/testapp/author/{query}")
        assert page.status == 200
        return re.findall(r"<a href=[^>]*>(Name \d+)</a>", page.text)

    async def main() -> None:
        browser = await admins_browser()
        assert len(await names(browser, "")) == 100
        assert len(await names(browser, "?p=2")) == 20
        assert await names(browser, "?q=Title+007") == ["Name 007"]
        assert await names(browser, "?born__year=1950") == ["Name 050"]
        assert (await names(browser, "?o=1"))[:2] == ["Name 000", "Name 001"]
        assert (await names(browser, "?o=-1"))[:1] == ["Name 119"]
        assert "Title 119" in (await browser.get("/admin/testapp/author/?o=-1")).text

    loop_runner(main)


@one_loop
def test_actions(loop_runner: LoopRunner, admins_browser: Callable[[], Awaitable[Browser]]) -> None:
    authors = [Author.objects.create(name=f"name {number}") for number in range(3)]
    chosen = {"_selected_action": [author.pk for author in authors[:2]]}

    async def main() -> None:
        browser = await admins_browser()
        url = "/admin/testapp/author/"
        assert went_to(await browser.post(url, {"action": "shout", **chosen})) == url
        assert await message(browser, url) == "Shouted 2 names."
        names = [each.name async for each in Author.objects.order_by("pk")]
        assert names == ["NAME 0", "NAME 1", "name 2"]

        page = await browser.post(url, {"action": "delete_selected", **chosen})
        assert "Are you sure" in page.text
        form = {"action": "delete_selected", "post": "yes", **chosen}
        assert went_to(await browser.post(url, form)) == url
        assert [each.name async for each in Author.objects.all()] == ["name 2"]

    loop_runner(main)


def test_many_requests_at_once(
    loop_runner: LoopRunner, admins_browser: Callable[[], Awaitable[Browser]]
) -> None:
    async def main() -> None:
        browser = await admins_browser()
        add = "/admin/auth/group/add/"
        answers = await asyncio.gather(
            *(browser.post(add, {"name": f"group {number}"}) for number in range(20)),
            *(browser.get("/admin/testapp/author/") for _ in range(10)),
        )
        assert [answer.status for answer in answers] == [302] * 20 + [200] * 10
        assert await Group.objects.acount() == await LogEntry.objects.acount() == 20

    loop_runner(main)


def test_logout(loop_runner: LoopRunner, admins_browser: Callable[[], Awaitable[Browser]]) -> None:
    async def main() -> None:
        browser = await admins_browser()
        assert "Logged out" in (await browser.post("/admin/logout/")).text
        assert (await browser.get("/admin/")).status == 302

    loop_runner(main)
