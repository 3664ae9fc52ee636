"""Where views run: by setting, by mark, by include; URLs and their names stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.core.checks.urls import check_url_config, check_url_namespaces_unique
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template import Context, Template, engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import include, path, re_path, resolve, reverse
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from django_loom import in_thread, on_loop, streaming_body
from django_loom.asgi import get_asgi_application
from tests.http.client import Answer, Browser
from tests.http.placed import (
    KINDS,
    AsyncWhereView,
    ExemptView,
    OpenView,
    Views,
    WhereView,
    async_where,
    decorated,
    function,
    view_class,
    where,
    wrapping,
)
from tests.loops import LoopRunner

# Which place is meant is told by marks and settings; how it is reached, by test_view_threads.py.
pytestmark = pytest.mark.one_loop

MODES = ["thread", "loop"]
MARKS = {"loop": on_loop, "thread": in_thread}
PLACES = pytest.mark.parametrize("place", MARKS)
BOTH_MODES = pytest.mark.parametrize("mode", MODES)


@contextmanager
def site(*urlpatterns: Any, mode: str = "thread", **settings: Any) -> Iterator[None]:
    settings = {
        "MIDDLEWARE": [],
        "ALLOWED_HOSTS": ["testserver"],
        "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        **settings,
    }
    urls: Any = ModuleType("urls")
    urls.urlpatterns = list(urlpatterns)
    with override_settings(ROOT_URLCONF=urls, LOOM={"SYNC_VIEWS": mode}, **settings):
        yield


async def get(url: str) -> str:
    answer: Answer = await Browser(get_asgi_application()).get(url)
    assert answer.status == 200, answer.text
    return answer.text


def place_of(view: Any, runner: LoopRunner, mode: str) -> str:
    with site(path("", view), mode=mode):
        return runner(get("/"))


class TestSetting:
    @BOTH_MODES
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_view_without_a_mark_runs_where_the_setting_says(
        self, loop_runner: LoopRunner, kind: str, mode: str
    ) -> None:
        assert place_of(KINDS[kind](), loop_runner, mode) == mode

    @BOTH_MODES
    @pytest.mark.parametrize("view", [async_where, AsyncWhereView.as_view()])
    def test_async_views_run_on_the_loop(
        self, loop_runner: LoopRunner, view: Any, mode: str
    ) -> None:
        assert place_of(view, loop_runner, mode) == "loop"

    def test_the_default_is_a_thread(self, loop_runner: LoopRunner) -> None:
        with site(path("", where)), override_settings(LOOM={}):
            assert loop_runner(get("/")) == "thread"


@BOTH_MODES
@PLACES
class TestMark:
    @pytest.mark.parametrize("kind", KINDS)
    def test_on_a_view(self, loop_runner: LoopRunner, kind: str, place: str, mode: str) -> None:
        assert place_of(MARKS[place](KINDS[kind]()), loop_runner, mode) == place

    def test_on_a_class(self, loop_runner: LoopRunner, place: str, mode: str) -> None:
        marked = MARKS[place](view_class())
        assert isinstance(marked, type)
        assert place_of(marked.as_view(), loop_runner, mode) == place

    def test_a_subclass_inherits_it_and_may_have_its_own(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        other = "thread" if place == "loop" else "loop"
        base = MARKS[place](view_class())
        heir = type("Heir", (base,), {})
        assert place_of(heir.as_view(), loop_runner, mode) == place
        heir = MARKS[other](heir)
        assert place_of(heir.as_view(), loop_runner, mode) == other
        assert place_of(base.as_view(), loop_runner, mode) == place

    def test_of_as_view_wins_over_the_classs(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        other = "thread" if place == "loop" else "loop"
        marked = MARKS[place](MARKS[other](view_class()).as_view())
        assert place_of(marked, loop_runner, mode) == place

    def test_below_other_decorators(self, loop_runner: LoopRunner, place: str, mode: str) -> None:
        assert place_of(decorated(MARKS[place](function())), loop_runner, mode) == place
        marked_class = MARKS[place](view_class())
        assert place_of(decorated(marked_class.as_view()), loop_runner, mode) == place

    def test_a_view_marked_in_a_stack_of_wrappers(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        view = wrapping(wrapping(MARKS[place](wrapping(function()))))
        assert place_of(view, loop_runner, mode) == place


@BOTH_MODES
class TestWhatIsGivenStaysAsItIs:
    @PLACES
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_view(self, loop_runner: LoopRunner, kind: str, place: str, mode: str) -> None:
        view = KINDS[kind]()
        marked = MARKS[place](view)
        assert place_of(marked, loop_runner, mode) == place
        assert place_of(view, loop_runner, mode) == mode

    @PLACES
    def test_a_class_and_what_it_makes(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        view = view_class()
        before = view.as_view()
        marked = MARKS[place](view)
        assert (marked.__name__, marked.__module__) == (view.__name__, view.__module__)
        assert issubclass(marked, view)
        assert place_of(marked.as_view(), loop_runner, mode) == place
        assert place_of(before, loop_runner, mode) == mode
        assert place_of(view.as_view(), loop_runner, mode) == mode

    @PLACES
    def test_the_class_of_a_marked_as_view(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        view = view_class()
        marked = MARKS[place](view.as_view())
        assert marked.view_class is view
        assert place_of(view.as_view(), loop_runner, mode) == mode

    def test_one_view_with_both_marks(self, loop_runner: LoopRunner, mode: str) -> None:
        view = function()
        with site(path("l", on_loop(view)), path("t", in_thread(view)), path("w", view), mode=mode):
            assert [loop_runner(get(f"/{each}")) for each in "ltw"] == ["loop", "thread", mode]

    def test_the_last_of_two_marks_counts(self, loop_runner: LoopRunner, mode: str) -> None:
        assert place_of(on_loop(in_thread(function())), loop_runner, mode) == "loop"
        assert place_of(in_thread(on_loop(function())), loop_runner, mode) == "thread"

    @PLACES
    def test_as_a_decorator_of_a_class_that_calls_super(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        @MARKS[place]
        class Own(WhereView):
            def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
                return super().get(request, **kwargs)

        assert place_of(Own.as_view(), loop_runner, mode) == place

    @pytest.mark.parametrize("mark", [on_loop, in_thread])
    def test_what_the_view_says_of_itself_is_said_by_what_stands_for_it(
        self, mark: Callable[[Any], Any], mode: str
    ) -> None:
        view = csrf_exempt(transaction.non_atomic_requests(function()))
        view.__doc__ = "What it does."
        marked = mark(view)
        for name in ("__name__", "__module__", "__doc__", "csrf_exempt", "_non_atomic_requests"):
            assert getattr(marked, name) == getattr(view, name)
        assert mark(ExemptView()).csrf_exempt is True


class TestAsyncViews:
    @pytest.mark.parametrize(
        "view",
        [async_where, AsyncWhereView.as_view(), AsyncWhereView],
        ids=["f", "as_view", "class"],
    )
    def test_in_thread_refuses_them(self, view: Any) -> None:
        with pytest.raises(TypeError, match=r"async view .*run on the loop; use .*sync_to_async"):
            in_thread(view)

    def test_on_loop_takes_them(self, loop_runner: LoopRunner) -> None:
        async def view(request: HttpRequest) -> HttpResponse:
            return where(request)

        assert place_of(on_loop(view), loop_runner, "thread") == "loop"

    @PLACES
    def test_in_an_include_they_run_on_the_loop(self, loop_runner: LoopRunner, place: str) -> None:
        urls = MARKS[place](include([path("f", async_where), path("c", AsyncWhereView.as_view())]))
        with site(path("", urls)):
            assert loop_runner(get("/f")) == loop_runner(get("/c")) == "loop"


def library(name: str = "") -> Any:
    """A URLconf as an application has it."""
    patterns = [
        path("plain/", where, name="plain"),
        path("item/<int:pk>/", WhereView.as_view(), name="item", kwargs={"extra": "x"}),
        re_path(r"^old/(?P<year>[0-9]{4})/$", decorated(where), name="old"),
    ]
    return include((patterns, "library"), namespace=name or None)


@BOTH_MODES
@PLACES
class TestInclude:
    def test_with_an_application_and_a_namespace(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        with site(path("lib/", MARKS[place](library("shelf"))), path("w", where), mode=mode):
            for url in ("/lib/plain/", "/lib/item/7/", "/lib/old/1999/"):
                assert loop_runner(get(url)) == place
            assert loop_runner(get("/w")) == mode

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_view(
        self, loop_runner: LoopRunner, kind: str, place: str, mode: str
    ) -> None:
        with site(path("", MARKS[place](include([path("v", KINDS[kind]())]))), mode=mode):
            assert loop_runner(get("/v")) == loop_runner(get("/v")) == place

    def test_by_name_of_a_module(self, loop_runner: LoopRunner, place: str, mode: str) -> None:
        with site(path("m/", MARKS[place](include("tests.http.placed_urls"))), mode=mode):
            assert loop_runner(get("/m/")) == place
            assert reverse("of_module:front") == "/m/"

    def test_twice_with_different_places(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        urls = [
            path("a/", on_loop(library("a"))),
            path("b/", in_thread(library("b"))),
            path("c/", library("c")),
        ]
        with site(*urls, mode=mode):
            for _ in range(2):
                places = [loop_runner(get(f"/{each}/plain/")) for each in "abc"]
                assert places == ["loop", "thread", mode]

    def test_the_views_own_mark_wins(self, loop_runner: LoopRunner, place: str, mode: str) -> None:
        inner = include(
            [path("l", on_loop(function())), path("t", in_thread(view_class()).as_view())]
        )
        with site(path("", MARKS[place](inner)), mode=mode):
            assert loop_runner(get("/l")) == "loop"
            assert loop_runner(get("/t")) == "thread"

    def test_the_inner_includes_mark_wins(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        middle = include(
            [path("l/", on_loop(library())), path("t/", in_thread(library())), path("w", where)]
        )
        with site(path("x/", include([path("y/", MARKS[place](middle))])), mode=mode):
            assert loop_runner(get("/x/y/l/plain/")) == "loop"
            assert loop_runner(get("/x/y/t/item/1/")) == "thread"
            assert loop_runner(get("/x/y/w")) == place

    def test_the_admins(self, loop_runner: LoopRunner, place: str, mode: str) -> None:
        own = admin.AdminSite(name="own")
        own.login = where  # type: ignore[method-assign]
        with site(path("admin/", MARKS[place](own.urls)), mode=mode):
            assert loop_runner(get("/admin/login/")) == place
            assert reverse("admin:index") == reverse("own:index") == "/admin/"


class TestNames:
    def patterns(self) -> list[Any]:
        outer = (
            [
                path("inner/", in_thread(library("inner"))),
                path("<slug:kind>/", include([path("deep/", where, name="deep")])),
            ],
            "outer",
        )
        return [
            path("o/<int:shop>/", on_loop(include(outer, namespace="o1"))),
            re_path(r"^r/(\d+)/", on_loop(include([re_path(r"(\w+)/$", where, name="words")]))),
            path("by-function/", on_loop(include([path("x/", Views.method)]))),
        ]

    @pytest.mark.parametrize(
        ("name", "kwargs", "url"),
        [
            ("outer:deep", {"shop": 1, "kind": "k"}, "/o/1/k/deep/"),
            ("o1:deep", {"shop": 1, "kind": "k"}, "/o/1/k/deep/"),
            ("o1:inner:plain", {"shop": 2}, "/o/2/inner/plain/"),
            ("o1:inner:item", {"shop": 2, "pk": 3}, "/o/2/inner/item/3/"),
            ("outer:library:old", {"shop": 2, "year": "1999"}, "/o/2/inner/old/1999/"),
        ],
    )
    def test_reverse_and_resolve(self, name: str, kwargs: dict[str, Any], url: str) -> None:
        with site(*self.patterns()):
            assert reverse(name, kwargs=kwargs) == url
            match = resolve(url)
            assert match.kwargs == {
                **kwargs,
                **({"extra": "x"} if name.endswith("item") else {}),
            }

    def test_by_position(self) -> None:
        with site(*self.patterns()):
            assert reverse("words", args=[5, "abc"]) == "/r/5/abc/"
            assert resolve("/r/5/abc/").args == ("5", "abc")

    def test_by_function(self) -> None:
        with site(*self.patterns()):
            assert reverse(Views.method) == "/by-function/x/"

    def test_a_match_says_what_it_says_without_the_mark(self) -> None:
        def told(urls: Any, url: str) -> tuple[Any, ...]:
            with site(path("lib/", urls)):
                match = resolve(url)
            names = (match.view_name, match.url_name, match.app_names, match.namespaces)
            view = match.func
            is_exempt = getattr(view, "csrf_exempt", False)
            of_class = getattr(view, "view_class", None)
            about = (view.__module__, view.__name__, view.__qualname__, is_exempt, of_class)
            return (*names, match.route, match.kwargs, match._func_path, *about)

        for url in ("/lib/plain/", "/lib/item/7/", "/lib/old/1999/"):
            assert told(on_loop(library("s")), url) == told(library("s"), url)

    def test_templates_find_urls(self, loop_runner: LoopRunner) -> None:
        def view(request: HttpRequest, shop: int) -> HttpResponse:
            assert request.resolver_match.namespace == "o1"
            template = Template(
                "{% url 'outer:page' 3 %} {% url request.resolver_match.view_name shop %}"
            )
            context = Context({"request": request, "shop": shop})
            return HttpResponse(template.render(context))

        outer = include(([path("p", view, name="page")], "outer"), namespace="o1")
        with site(path("<int:shop>/", on_loop(outer))):
            assert loop_runner(get("/9/p")) == "/3/p /9/p"

    def test_djangos_checks_find_nothing(self) -> None:
        with site(*self.patterns(), path("lib/", on_loop(library("s")))):
            assert check_url_config(None) == check_url_namespaces_unique(None) == []

    def test_djangos_checks_see_names_that_clash(self) -> None:
        with site(path("a/", on_loop(library("s"))), path("b/", in_thread(library("s")))):
            (warning,) = check_url_namespaces_unique(None)
        assert warning.id == "urls.W005"

    def test_language_prefixes(self, loop_runner: LoopRunner) -> None:
        with site(
            *i18n_patterns(path("lib/", on_loop(library("s")))),
            MIDDLEWARE=["django.middleware.locale.LocaleMiddleware"],
            LANGUAGES=[("de", "German"), ("en", "English")],
            LANGUAGE_CODE="en",
            USE_I18N=True,
        ):
            assert loop_runner(get("/de/lib/plain/")) == "loop"
            assert reverse("s:plain") == "/en/lib/plain/"
            answer = loop_runner(Browser(get_asgi_application()).get("/lib/plain/"))
            assert (answer.status, answer.headers["location"]) == (302, "/en/lib/plain/")


class TestWhatMiddlewareSees:
    """The attributes by which decorators speak to middleware."""

    def post(self, view: Any, middleware: str, runner: LoopRunner) -> int:
        urls = on_loop(include([path("v", view)]))
        with site(path("", urls), MIDDLEWARE=[f"django.{middleware}"]):
            answer = runner(Browser(get_asgi_application()).post("/v", {"a": "b"}))
        return answer.status

    @pytest.mark.parametrize(
        ("view", "status"), [(where, 403), (decorated(where), 200), (ExemptView(), 200)]
    )
    def test_csrf_exempt(self, loop_runner: LoopRunner, view: Any, status: int) -> None:
        csrf = "middleware.csrf.CsrfViewMiddleware"
        assert self.post(view, csrf, loop_runner) == status

    def test_login_not_required(self, loop_runner: LoopRunner) -> None:
        middleware = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]
        views = [path("open", OpenView.as_view()), path("exempt", ExemptView()), path("w", where)]
        session = "django.contrib.sessions.backends.signed_cookies"
        with site(path("", on_loop(include(views))), MIDDLEWARE=middleware, SESSION_ENGINE=session):
            assert loop_runner(get("/open")) == loop_runner(get("/exempt")) == "loop"
            assert loop_runner(Browser(get_asgi_application()).get("/w")).status == 302


class TestMistakes:
    @pytest.mark.parametrize("mark", [on_loop, in_thread])
    @pytest.mark.parametrize("urls", ["tests.http.placed_urls", []])
    def test_a_urlconf_without_include(self, mark: Callable[[Any], Any], urls: Any) -> None:
        with pytest.raises(TypeError, match=r"Write include\(.*\) where"):
            mark(urls)


@BOTH_MODES
class TestWhatComesAfterTheView:
    @PLACES
    def test_a_template_renders_where_its_view_ran(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            template = engines["django"].from_string("{{ where }}")
            context = {"where": lambda: where(request).content.decode()}
            return TemplateResponse(request, template, context)

        assert place_of(MARKS[place](view), loop_runner, mode) == place

    @PLACES
    def test_a_stream_is_made_where_its_view_ran(
        self, loop_runner: LoopRunner, place: str, mode: str
    ) -> None:
        def view(request: HttpRequest) -> HttpResponseBase:
            return StreamingHttpResponse(where(request).content for _ in range(3))

        with site(path("", MARKS[place](include([path("v", view)]))), mode=mode):
            assert loop_runner(get("/v")) == place * 3
        assert place_of(MARKS[place](view), loop_runner, mode) == place * 3


class Streams(View):
    async def post(self, request: Any) -> HttpResponse:
        unread = request.body_is_unread
        size = len(await request.aread())
        return HttpResponse(f"{unread} {size}")


async def streams(request: Any) -> HttpResponse:
    return await Streams().post(request)


def wrapping_async(view: Any) -> Any:
    @wraps(view)
    async def wrapper(request: Any) -> HttpResponse:
        response: HttpResponse = await view(request)
        return response

    return wrapper


class TestStreamingBody:
    @pytest.mark.parametrize("view", [wrapping_async(streams), type("S", (Streams,), {})])
    def test_what_is_given_stays_as_it_is(self, loop_runner: LoopRunner, view: Any) -> None:
        marked = streaming_body(view)
        urls = [getattr(each, "as_view", lambda each=each: each)() for each in (view, marked)]
        with site(path("0", urls[0]), path("1", urls[1])):
            browser = Browser(get_asgi_application())
            answers = [loop_runner(browser.send("POST", f"/{n}", b"abc", "a/b")) for n in (0, 1)]
        assert [answer.text for answer in answers] == ["False 3", "True 3"]

    @pytest.mark.parametrize(
        ("view", "expected"),
        [
            (lambda: streaming_body(wrapping_async(streams)), "True 3"),
            (lambda: streaming_body(type("S", (Streams,), {})).as_view(), "True 3"),
            (lambda: streaming_body(type("S", (Streams,), {}).as_view()), "True 3"),
            (lambda: streaming_body(Streams().post), "True 3"),
            (lambda: streams, "False 3"),
            (lambda: Streams.as_view(), "False 3"),
        ],
        ids=["function", "class", "as_view", "method", "plain function", "plain class"],
    )
    @pytest.mark.parametrize("included", [False, True])
    def test_leaves_the_body_unread(
        self, loop_runner: LoopRunner, view: Callable[[], Any], expected: str, included: bool
    ) -> None:
        pattern = path("v", view())
        with site(path("", on_loop(include([pattern]))) if included else pattern):
            browser = Browser(get_asgi_application())
            answer = loop_runner(browser.send("POST", "/v", b"abc", "text/plain"))
        assert answer.text == expected
