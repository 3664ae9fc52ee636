"""Django's generic views, in threads and on the loop, with forms and lazy relations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path, reverse_lazy
from django.views.generic import (
    ArchiveIndexView,
    CreateView,
    DeleteView,
    DetailView,
    FormView,
    ListView,
    RedirectView,
    TemplateView,
    UpdateView,
)

from django_loom.asgi import get_asgi_application
from tests.http.client import Browser
from tests.loops import LoopRunner
from tests.testapp.models import Author, Book, Tag

# Django's own code; its waits are those of tests/db.
pytestmark = [pytest.mark.usefixtures("db_tables"), pytest.mark.one_loop]

PAGES = {
    "form.html": "{% csrf_token %}{{ form }}",
    "confirm.html": "Delete {{ object.name }}?",
    "author.html": "{{ author.name }}: {% for b in author.books.all %}{{ b.title }};{% endfor %}",
    "books.html": (
        "{% for b in books %}{{ b.title }} by {{ b.author.name }}"
        "{% for tag in b.tags.all %} #{{ tag.name }}{% endfor %};{% endfor %}"
        " {{ page_obj.number }}/{{ paginator.num_pages }}"
    ),
    "everything.html": (
        "{% for a in authors %}{{ a.name }}:{% for b in a.books.all %}"
        "{{ b.title }}{{ b.tags.count }}{% endfor %};{% endfor %}{{ view.word }}{{ request.path }}"
    ),
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [("django.template.loaders.locmem.Loader", PAGES)],
            "context_processors": ["django.template.context_processors.request"],
        },
    }
]


class AuthorForm(ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Author
        fields = ["name", "born"]


class Books(ListView):  # type: ignore[type-arg]
    queryset = Book.objects.order_by("title")
    context_object_name = "books"
    template_name = "books.html"
    paginate_by = 2


class OneAuthor(DetailView):  # type: ignore[type-arg]
    model = Author
    template_name = "author.html"


class Create(CreateView):  # type: ignore[type-arg]
    model = Author
    form_class = AuthorForm
    template_name = "form.html"
    success_url = reverse_lazy("books")


class Update(UpdateView):  # type: ignore[type-arg]
    model = Author
    form_class = AuthorForm
    template_name = "form.html"
    success_url = "/authors/{id}/"


class Delete(DeleteView):  # type: ignore[type-arg]
    model = Author
    template_name = "confirm.html"
    success_url = reverse_lazy("books")


class Everything(TemplateView):
    template_name = "everything.html"
    word = "!"
    extra_context = {"authors": Author.objects.order_by("name")}


class Upload(FormView):  # type: ignore[type-arg]
    form_class = AuthorForm
    template_name = "form.html"
    success_url = "/"

    def form_valid(self, form: AuthorForm) -> Any:
        form.save()
        return super().form_valid(form)


class Private(LoginRequiredMixin, TemplateView):
    template_name = "everything.html"


class Decades(ArchiveIndexView):  # type: ignore[type-arg]
    queryset = Author.objects.all()
    date_field = "born"
    template_name = "everything.html"
    context_object_name = "authors"


def lazy(request: HttpRequest) -> TemplateResponse:
    """Its queries run when it is rendered, after the view."""
    return TemplateResponse(request, "everything.html", {"authors": Author.objects.all()})


urlpatterns = [
    path("books/", Books.as_view(), name="books"),
    path("authors/<int:pk>/", OneAuthor.as_view()),
    path("authors/new/", Create.as_view()),
    path("authors/<int:pk>/change/", Update.as_view()),
    path("authors/<int:pk>/delete/", Delete.as_view()),
    path("old/<int:pk>/", RedirectView.as_view(url="/authors/%(pk)s/", query_string=True)),
    path("gone/", RedirectView.as_view()),
    path("everything/", Everything.as_view()),
    path("form/", Upload.as_view()),
    path("private/", Private.as_view()),
    path("decades/", Decades.as_view()),
    path("lazy/", lazy),
    path("accounts/login/", LoginView.as_view(template_name="form.html", next_page="/private/")),
]


@pytest.fixture(params=["thread", "loop"], autouse=True)
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    with override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        TEMPLATES=TEMPLATES,
        LOOM={"SYNC_VIEWS": request.param},
    ):
        yield request.param


@pytest.fixture
def shelf() -> None:
    tag = Tag.objects.create(name="good")
    for name, titles in {"Ann": "BC", "Bob": "A"}.items():
        author = Author.objects.create(name=name, born="1900-01-01")
        for title in titles:
            Book.objects.create(title=title, author=author).tags.add(tag)


@pytest.mark.usefixtures("shelf")
class TestReading:
    def read(self, runner: LoopRunner, url: str) -> tuple[int, str]:
        answer = runner(Browser(get_asgi_application()).get(url))
        return answer.status, answer.text

    def test_list_view_with_pages_and_relations(self, loop_runner: LoopRunner) -> None:
        first = "A by Bob #good;B by Ann #good; 1/2"
        assert self.read(loop_runner, "/books/") == (200, first)
        assert self.read(loop_runner, "/books/?page=last") == (200, "C by Ann #good; 2/2")
        assert self.read(loop_runner, "/books/?page=9")[0] == 404

    def test_detail_view(self, loop_runner: LoopRunner) -> None:
        assert self.read(loop_runner, "/authors/1/") == (200, "Ann: B;C;")
        assert self.read(loop_runner, "/authors/99/")[0] == 404

    def test_template_view_with_lazy_relations(self, loop_runner: LoopRunner) -> None:
        authors = "Ann:B1C1;Bob:A1;"
        for _ in range(2):
            assert self.read(loop_runner, "/everything/") == (200, f"{authors}!/everything/")
        assert self.read(loop_runner, "/decades/") == (200, f"{authors}/decades/")
        assert self.read(loop_runner, "/lazy/") == (200, f"{authors}/lazy/")

    def test_redirect_view(self, loop_runner: LoopRunner) -> None:
        answer = loop_runner(Browser(get_asgi_application()).get("/old/1/?a=b"))
        assert (answer.status, answer.headers["location"]) == (302, "/authors/1/?a=b")
        assert self.read(loop_runner, "/gone/")[0] == 410

    def test_methods_and_head(self, loop_runner: LoopRunner) -> None:
        async def main() -> None:
            browser = Browser(get_asgi_application())
            head = await browser.send("HEAD", "/books/")
            assert (head.status, head.body) == (200, b"")
            assert head.headers["content-length"] == str(len("A by Bob #good;B by Ann #good; 1/2"))
            options = await browser.send("OPTIONS", "/books/")
            assert (options.status, options.headers["allow"]) == (200, "GET, HEAD, OPTIONS")
            await browser.get("/authors/new/")
            assert (await browser.send("PATCH", "/books/")).status == 405

        loop_runner(main)


class TestForms:
    def test_create_with_errors_and_without(self, loop_runner: LoopRunner) -> None:
        async def main() -> None:
            browser = Browser(get_asgi_application())
            assert 'name="name"' in (await browser.get("/authors/new/")).text
            faulty = await browser.post("/authors/new/", {"name": "", "born": "never"})
            assert faulty.status == 200
            assert "This field is required" in faulty.text
            assert "Enter a valid date" in faulty.text
            form = {"name": "Zoë", "born": "2000-02-29"}
            saved = await browser.post("/authors/new/", form)
            assert (saved.status, saved.headers["location"]) == (302, "/books/")
            assert await Author.objects.filter(name="Zoë").aexists()
            again = await browser.post("/authors/new/", form)
            assert "already exists" in again.text

        loop_runner(main)

    def test_update_delete_and_form_view(self, loop_runner: LoopRunner) -> None:
        author = Author.objects.create(name="Ann", born="1900-01-01")
        url = f"/authors/{author.pk}/"

        async def main() -> None:
            browser = Browser(get_asgi_application())
            assert 'value="Ann"' in (await browser.get(f"{url}change/")).text
            form = {"name": "Anne", "born": "1900-01-01"}
            changed = await browser.post(f"{url}change/", form)
            assert (changed.status, changed.headers["location"]) == (302, url)
            assert (await browser.get(f"{url}delete/")).text == "Delete Anne?"
            assert (await browser.post(f"{url}delete/")).status == 302
            assert (await browser.post(f"{url}delete/")).status == 404
            await browser.post("/form/", form)
            assert await Author.objects.acount() == 1

        loop_runner(main)

    def test_without_a_token_nothing_is_saved(self, loop_runner: LoopRunner) -> None:
        async def main() -> None:
            answer = await Browser(get_asgi_application()).post("/authors/new/", {"name": "x"})
            assert answer.status == 403
            assert await Author.objects.acount() == 0

        loop_runner(main)


def test_login_required(loop_runner: LoopRunner) -> None:
    User.objects.create_user("ann", password="secret")

    async def main() -> None:
        browser = Browser(get_asgi_application())
        refused = await browser.get("/private/")
        assert refused.headers["location"] == "/accounts/login/?next=/private/"
        await browser.get("/accounts/login/")
        await browser.post("/accounts/login/", {"username": "ann", "password": "secret"})
        assert (await browser.get("/private/")).text == "/private/"

    loop_runner(main)
