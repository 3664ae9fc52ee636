"""The handler's contract, which is Django's: exceptions, middleware, signals, threads."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core import signals
from django.core.asgi import get_asgi_application as stock_application
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import connection, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import get_script_prefix, path, reverse
from django.utils.decorators import async_only_middleware, sync_and_async_middleware

from django_loom import in_thread, on_loop, pool, reroute, run_sync
from django_loom.asgi import get_asgi_application
from tests import settings as settings_of_tests
from tests.http.asgi import Connection, get, request, start
from tests.loops import LoopRunner
from tests.polling import aeventually, eventually
from tests.testapp.models import Author

HERE = __name__
DEFAULT_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
EXCEPTIONS: dict[str, tuple[type[Exception], int]] = {
    "not_found": (Http404, 404),
    "denied": (PermissionDenied, 403),
    "bad": (BadRequest, 400),
    "suspicious": (SuspiciousOperation, 400),
    "too_big": (RequestDataTooBig, 400),
    "error": (ValueError, 500),
}
events: list[Any] = []
rendered: list[TemplateResponse] = []


@on_loop
def loop_view(request: HttpRequest, **given: Any) -> HttpResponse:
    return view(request, **given)


@in_thread
def thread_view(request: HttpRequest, **given: Any) -> HttpResponse:
    return view(request, **given)


async def async_view(request: HttpRequest, **given: Any) -> HttpResponse:
    await asyncio.sleep(0)
    return view(request, **given)


def view(request: HttpRequest, **given: Any) -> HttpResponse:
    events.append(("view", threading.current_thread() is threading.main_thread()))
    if raised := request.GET.get("raise"):
        raise EXCEPTIONS[raised][0]("mine")
    response = HttpResponse(f"{get_script_prefix()} {request.path_info} {given}")
    for name in request.GET.getlist("cookie"):
        response.set_cookie(name, "value", httponly=True)
    return response


def wrong(request: HttpRequest) -> Any:
    return None


async def wrong_async(request: HttpRequest) -> Any:
    return None


async def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


async def threads_of_its_own(request: HttpRequest) -> HttpResponse:
    names = [await sync_to_async(threading.get_ident)() for _ in range(3)]
    names += await asyncio.gather(*[sync_to_async(threading.get_ident)() for _ in range(3)])
    events.append(set(names))
    return HttpResponse()


async def waits(request: HttpRequest) -> HttpResponse:
    events.append("waits")
    await asyncio.Event().wait()
    raise AssertionError("never here")


def template_of(name: str) -> Any:
    def template_view(request: HttpRequest) -> TemplateResponse:
        template = engines["django"].from_string("{{ show }}{{ fail }}")
        context = {"show": shows_thread}
        if "fail" in request.GET:
            context["fail"] = fails
        response = TemplateResponse(request, template, context)
        rendered.append(response)
        return response

    template_view.__name__ = name
    return template_view


def shows_thread() -> str:
    return "main" if threading.current_thread() is threading.main_thread() else "other"


def fails() -> None:
    raise ValueError("of the template")


thread_template = in_thread(template_of("thread_template"))
loop_template = on_loop(template_of("loop_template"))


async def async_template(request: HttpRequest) -> TemplateResponse:
    response: TemplateResponse = template_of("async_template")(request)
    return response


def breaks_off(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"part"
        raise ValueError("mine")

    return StreamingHttpResponse(parts())


async def breaks_off_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> Any:
        yield b"part"
        raise ValueError("mine")

    return StreamingHttpResponse(parts())


def with_error(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return HttpResponse(f"custom {type(exception).__name__}", status=599)


class OtherUrls:
    urlpatterns = [path("other", thread_view)]


def writes(request: HttpRequest) -> HttpResponse:
    Author.objects.create(name="written")
    return written(request)


def written(request: HttpRequest) -> HttpResponse:
    if "fail" in request.GET:
        raise ValueError("mine")
    return HttpResponse(str(connection.in_atomic_block))


@in_thread
def holds_a_lease(request: HttpRequest) -> HttpResponse:
    before = pool("default").statistics().used
    Author.objects.count()
    during = pool("default").statistics().used
    Author.objects.count()
    events.append((before, during, pool("default").statistics().used))
    return written(request)


@on_loop
def writes_on_loop(request: HttpRequest) -> HttpResponse:
    return writes(request)


async def writes_async(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name="written")
    return await run_sync(written, request)


async def writes_and_waits(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name="written")
    events.append("written")
    await asyncio.Event().wait()
    raise AssertionError("never here")


@transaction.non_atomic_requests
def writes_outside(request: HttpRequest) -> HttpResponse:
    return writes(request)


@transaction.non_atomic_requests
async def writes_outside_async(request: HttpRequest) -> HttpResponse:
    return await writes_async(request)


VIEWS = [loop_view, thread_view, async_view]
urlpatterns = [
    path(view.__name__, view)
    for view in [
        *VIEWS,
        wrong,
        wrong_async,
        hello,
        threads_of_its_own,
        waits,
        thread_template,
        loop_template,
        async_template,
        breaks_off,
        breaks_off_async,
        writes,
        holds_a_lease,
        writes_on_loop,
        writes_async,
        writes_and_waits,
        writes_outside,
        writes_outside_async,
    ]
] + [path("named/<int:number>/", loop_view, name="named")]
views = pytest.mark.parametrize("name", [view.__name__ for view in VIEWS])


@pytest.fixture(autouse=True)
def no_connection_of_this_thread() -> None:
    """A test before may have left one, and some count those in use."""
    connections.close_all()


@pytest.fixture(autouse=True)
def our_urls() -> Iterator[None]:
    events.clear()
    with override_settings(
        ROOT_URLCONF=HERE,
        MIDDLEWARE=[],
        ALLOWED_HOSTS=["testserver"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    ):
        yield


@pytest.fixture
def signals_sent() -> Iterator[list[str]]:
    """The names of the request's signals, in their order."""
    sent: list[str] = []
    connected = []
    for name in ("request_started", "request_finished", "got_request_exception"):

        def receiver(name: str = name, **kwargs: Any) -> None:
            sent.append(name)

        signal = getattr(signals, name)
        signal.connect(receiver)
        connected.append((signal, receiver))
    yield sent
    for signal, receiver in connected:
        signal.disconnect(receiver)


@views
@pytest.mark.parametrize("raised", EXCEPTIONS)
@pytest.mark.parametrize("debug", [False, True])
def test_exceptions_become_responses(
    loop_runner: LoopRunner, signals_sent: list[str], name: str, raised: str, debug: bool
) -> None:
    exception, status = EXCEPTIONS[raised]
    with override_settings(DEBUG=debug):
        answer = loop_runner(get(f"/{name}?raise={raised}"))
    assert answer.status == status
    if debug and raised not in ("denied", "not_found"):
        assert exception.__name__.encode() in answer.content
    error = ["got_request_exception"] if raised == "error" else []
    assert signals_sent == ["request_started", *error, "request_finished"]


@views
@pytest.mark.parametrize("raised", ["not_found", "denied", "bad", "error"])
def test_custom_error_handlers(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, name: str, raised: str
) -> None:
    exception, status = EXCEPTIONS[raised]
    monkeypatch.setitem(globals(), f"handler{status}", with_error)
    from django.urls import clear_url_caches

    clear_url_caches()
    answer = loop_runner(get(f"/{name}?raise={raised}"))
    clear_url_caches()
    shown = "NoneType" if raised == "error" else exception.__name__
    assert (answer.status, answer.content.decode()) == (599, f"custom {shown}")


@views
def test_exceptions_propagate_if_that_is_set(
    loop_runner: LoopRunner, signals_sent: list[str], name: str
) -> None:
    with (
        override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True),
        pytest.raises(ValueError, match="mine"),
    ):
        loop_runner(get(f"/{name}?raise=error"))
    assert signals_sent == ["request_started", "got_request_exception", "request_finished"]


@pytest.mark.parametrize("name", ["wrong", "wrong_async"])
def test_a_view_without_a_response(loop_runner: LoopRunner, name: str) -> None:
    with override_settings(DEBUG=True):
        answer = loop_runner(get(f"/{name}"))
    assert answer.status == 500
    assert b"return an HttpResponse object. It returned None" in answer.content


def test_a_url_that_is_not_there(loop_runner: LoopRunner) -> None:
    assert loop_runner(get("/nowhere")).status == 404


def test_a_request_that_is_not_utf_8(loop_runner: LoopRunner, signals_sent: list[str]) -> None:
    answer = loop_runner(request("GET", "/hello", query_string=b"\xff"))
    assert answer.status == 400
    assert signals_sent == ["request_started", "request_finished"]


@views
def test_where_a_view_runs(loop_runner: LoopRunner, name: str) -> None:
    assert loop_runner(get(f"/{name}")).status == 200
    assert events == [("view", name != "thread_view")]


@views
def test_head_has_the_head_only(loop_runner: LoopRunner, name: str) -> None:
    with override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware"]):
        whole, head = loop_runner(get(f"/{name}")), loop_runner(request("HEAD", f"/{name}"))
    assert head.headers == whole.headers
    assert head.header("content-length") == str(len(whole.content))
    assert (head.content, len(head.sent)) == (b"", 2)


def test_cookies(loop_runner: LoopRunner) -> None:
    answer = loop_runner(get("/loop_view?cookie=a&cookie=b"))
    cookies = [value for name, value in answer.headers if name == "set-cookie"]
    assert cookies == ["a=value; HttpOnly; Path=/", "b=value; HttpOnly; Path=/"]


@views
@pytest.mark.parametrize(
    ("root", "url", "force", "expected"),
    [
        ("", "/{}", None, "/ /{} {}"),
        ("/root", "/root/{}", None, "/root/ /{} {}"),
        ("/root", "/{}", None, "/root/ /{} {}"),
        ("/root", "/forced/{}", "/forced", "/forced/ /{} {}"),
    ],
)
def test_script_names(
    loop_runner: LoopRunner, name: str, root: str, url: str, force: str | None, expected: str
) -> None:
    with override_settings(FORCE_SCRIPT_NAME=force):
        answer = loop_runner(get(url.replace("{}", name), root_path=root))
    assert answer.content.decode() == expected.replace("{}", name, 1)


def test_the_script_name_is_the_requests_own(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        answers = await asyncio.gather(
            get("/a/async_view", root_path="/a"), get("/b/async_view", root_path="/b")
        )
        assert [answer.content[:3] for answer in answers] == [b"/a/", b"/b/"]

    loop_runner(main)


class ChoosesUrls:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        request.urlconf = OtherUrls
        return self.get_response(request)


def test_a_requests_own_urls_and_no_other_requests(loop_runner: LoopRunner) -> None:
    with override_settings(MIDDLEWARE=[f"{HERE}.ChoosesUrls"]):
        assert loop_runner(get("/other")).status == 200
    assert loop_runner(get("/other")).status == 404
    assert reverse("named", args=[1]) == "/named/1/"


@pytest.mark.parametrize("url", ["/loop_view", "/thread_view?raise=error", "/waits"])
def test_signals_once_for_each_request(
    loop_runner: LoopRunner, signals_sent: list[str], url: str
) -> None:
    async def main() -> None:
        connection = Connection()
        task = start(connection, "GET", url)
        if url == "/waits":
            await connection.until(lambda: connection.receiving)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task

    loop_runner(main)
    assert signals_sent.count("request_started") == signals_sent.count("request_finished") == 1
    assert signals_sent.count("got_request_exception") == ("error" in url)


def test_async_receivers_of_signals(loop_runner: LoopRunner) -> None:
    async def receiver(**kwargs: Any) -> None:
        await asyncio.sleep(0)
        events.append("received")

    signals.request_started.connect(receiver)
    signals.request_finished.connect(receiver)
    try:
        loop_runner(get("/hello"))
    finally:
        signals.request_started.disconnect(receiver)
        signals.request_finished.disconnect(receiver)
    assert events == ["received", "received"]


@pytest.mark.parametrize("name", ["breaks_off", "breaks_off_async"])
@pytest.mark.parametrize("place", ["thread", "loop"])
def test_an_error_in_the_midst_of_a_response_reaches_the_server(
    loop_runner: LoopRunner, signals_sent: list[str], name: str, place: str
) -> None:
    """It aborts the connection: that is how the client learns that the response is not whole."""

    async def main() -> None:
        connection = Connection()
        with pytest.raises(ValueError, match="mine"):
            await start(connection, "GET", f"/{name}")
        assert connection.content == b"part"
        assert not connection.complete

    with override_settings(LOOM={"SYNC_VIEWS": place}):
        loop_runner(main)
    assert signals_sent == ["request_started", "request_finished"]


class Hooks:
    """Middleware with every hook, of either kind."""

    sync_capable = async_capable = True
    name = "hooks"

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.acall(request)
        events.append((self.name, "in"))
        response = self.get_response(request)
        events.append((self.name, "out"))
        return response

    async def acall(self, request: HttpRequest) -> Any:
        events.append((self.name, "in"))
        await asyncio.sleep(0)
        response = await self.get_response(request)
        await asyncio.sleep(0)
        events.append((self.name, "out"))
        return response

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        events.append((self.name, "process_view"))
        if request.GET.get("answer") == self.name:
            return HttpResponse(self.name)

    def process_exception(self, request: Any, exception: Exception) -> Any:
        events.append((self.name, "process_exception"))
        if request.GET.get("handle") == self.name:
            return HttpResponse(f"{self.name}: {exception}")

    def process_template_response(self, request: Any, response: Any) -> Any:
        events.append((self.name, "process_template_response"))
        response.context_data["added"] = self.name
        return response


class Sync(Hooks):
    async_capable = False
    name = "sync"


class Async(Hooks):
    sync_capable = False
    name = "async"


class Both(Hooks):
    name = "both"


@async_only_middleware
def async_factory(get_response: Any) -> Any:
    async def middleware(request: Any) -> Any:
        return await get_response(request)

    return middleware


@sync_and_async_middleware
def both_factory(get_response: Any) -> Any:
    if iscoroutinefunction(get_response):
        return async_factory(get_response)
    return lambda request: get_response(request)


ORDERS = [
    ["Sync", "Async", "Both"],
    ["Async", "Sync", "Both"],
    ["Both", "Async", "Sync"],
    ["Async", "Both", "Sync"],
]
orders = pytest.mark.parametrize("order", ORDERS, ids="-".join)


def middleware(order: list[str]) -> Any:
    factories = [f"{HERE}.async_factory", f"{HERE}.both_factory"]
    return override_settings(MIDDLEWARE=factories + [f"{HERE}.{name}" for name in order])


@views
@orders
def test_middleware_of_every_kind(loop_runner: LoopRunner, name: str, order: list[str]) -> None:
    names = [each.lower() for each in order]
    with middleware(order):
        assert loop_runner(get(f"/{name}")).status == 200
    assert events == [
        *[(each, "in") for each in names],
        *[(each, "process_view") for each in names],
        ("view", name != "thread_view"),
        *[(each, "out") for each in reversed(names)],
    ]


@views
@orders
def test_process_view_answers(loop_runner: LoopRunner, name: str, order: list[str]) -> None:
    with middleware(order):
        answer = loop_runner(get(f"/{name}?answer={order[1].lower()}"))
    assert answer.content.decode() == order[1].lower()
    assert (order[2].lower(), "process_view") not in events
    assert "view" not in [event[0] for event in events]


@views
@orders
def test_process_exception_answers(loop_runner: LoopRunner, name: str, order: list[str]) -> None:
    with middleware(order):
        answer = loop_runner(get(f"/{name}?raise=error&handle={order[1].lower()}"))
    assert (answer.status, answer.content.decode()) == (200, f"{order[1].lower()}: mine")
    asked = [each for each, hook in events if hook == "process_exception"]
    assert asked == [order[2].lower(), order[1].lower()]


@pytest.mark.parametrize("name", ["loop_template", "thread_template", "async_template"])
@orders
def test_templates_render_where_their_view_ran(
    loop_runner: LoopRunner, name: str, order: list[str]
) -> None:
    with middleware(order):
        answer = loop_runner(get(f"/{name}"))
    assert answer.content == (b"other" if name == "thread_template" else b"main")
    hooks = [each for each, hook in events if hook == "process_template_response"]
    assert hooks == [each.lower() for each in reversed(order)]
    assert pickle.loads(pickle.dumps(rendered.pop())).content == answer.content


@pytest.mark.parametrize("name", ["loop_template", "thread_template", "async_template"])
def test_an_error_in_a_template(loop_runner: LoopRunner, name: str) -> None:
    with middleware(["Sync"]):
        answer = loop_runner(get(f"/{name}?fail&handle=sync"))
    assert answer.content == b"sync: of the template"


def hops_and_threads(loop_runner: LoopRunner, application: Any, url: str) -> tuple[int, int]:
    hops = threads = 0
    started = threading.Thread.start

    def count_thread(self: threading.Thread) -> None:
        nonlocal threads
        threads += 1
        started(self)

    async def main() -> None:
        nonlocal hops
        loop = asyncio.get_running_loop()
        base: Any = type(loop)
        run_in_executor = base.run_in_executor

        def count_hop(self: Any, *args: Any) -> Any:
            nonlocal hops
            hops += 1
            return run_in_executor(self, *args)

        with (
            patch.object(base, "run_in_executor", count_hop),
            patch.object(threading.Thread, "start", count_thread),
        ):
            answer = await get(url, application=application)
        assert answer.content == b"hello"

    loop_runner(main)
    return hops, threads


SESSION = {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}


def test_no_hop_and_no_thread_where_stock_django_has_many(loop_runner: LoopRunner) -> None:
    with override_settings(MIDDLEWARE=DEFAULT_MIDDLEWARE, **SESSION):
        assert hops_and_threads(loop_runner, get_asgi_application(), "/hello") == (0, 0)
        reroute.uninstall()
        try:
            stock = hops_and_threads(loop_runner, stock_application(), "/hello")
        finally:
            reroute.install()
    assert stock == (15, 2)


def test_a_users_own_sync_to_async_has_one_thread_for_each_request(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        await asyncio.gather(*[get("/threads_of_its_own") for _ in range(3)])

    before = threading.active_count()
    loop_runner(main)
    assert [len(threads) for threads in events] == [1, 1, 1]
    assert threading.get_ident() not in set.union(*events)
    eventually(lambda: threading.active_count() <= before)  # nobody waits for a thread to end


def test_too_many_requests_for_the_threads(
    loop_runner: LoopRunner, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        application = get_asgi_application()
        begun, go = threading.Event(), threading.Event()

        def wait(request: HttpRequest) -> HttpResponse:
            begun.set()
            assert go.wait(30)
            return HttpResponse("done")

        with patch.object(OtherUrls, "urlpatterns", [path("", wait)]):
            first, second, third = [Connection() for _ in range(3)]
            running = [start(first, "GET", "/", application=application)]
            await aeventually(begun.is_set)
            running.append(start(second, "GET", "/", application=application))
            await aeventually(lambda: application.threads.statistics().pending_requests == 1)
            await start(third, "GET", "/", application=application)
            assert third.status == 503
            assert third.header("retry-after") == "1"
            go.set()
            await asyncio.gather(*running)
            assert [first.content, second.content] == [b"done", b"done"]
        assert application.threads.statistics().refused == 1

    limits = {"THREADS": 1, "THREAD_QUEUE": 1}
    with override_settings(ROOT_URLCONF=OtherUrls, LOOM=limits):
        loop_runner(main)
    assert any("503 for /: All 1 threads" in record.getMessage() for record in caplog.records)


@pytest.fixture
def atomic_requests(db_tables: None) -> Iterator[None]:
    with patch.dict(connections.settings["default"], ATOMIC_REQUESTS=True):
        yield


WRITERS = ["writes", "writes_on_loop", "writes_async"]
OUTSIDE = ["writes_outside", "writes_outside_async"]


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("name", WRITERS + OUTSIDE)
@pytest.mark.parametrize("fails", [False, True])
def test_atomic_requests(loop_runner: LoopRunner, name: str, fails: bool) -> None:
    async def main() -> None:
        answer = await get(f"/{name}{'?fail' * fails}")
        assert answer.status == (500 if fails else 200)
        if not fails:
            assert answer.content == (b"False" if name in OUTSIDE else b"True")
        kept = name in OUTSIDE or not fails
        assert await Author.objects.acount() == int(kept)
        statistics = pool("default").statistics()
        assert statistics.used == 0

    loop_runner(main)


@pytest.mark.usefixtures("atomic_requests")
def test_an_atomic_request_that_is_cancelled_is_rolled_back(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        connection = Connection()
        task = start(connection, "GET", "/writes_and_waits")
        await connection.until(lambda: connection.receiving)
        await aeventually(lambda: events == ["written"])
        connection.leave()
        await task
        assert connection.sent == []
        assert await Author.objects.acount() == 0

    loop_runner(main)


@pytest.mark.usefixtures("db_tables")
@pytest.mark.parametrize("options", [{"pool": settings_of_tests.POOL}, {}])
def test_a_view_in_a_thread_has_a_lease_for_as_long_as_it_runs(
    loop_runner: LoopRunner, options: dict[str, Any]
) -> None:
    async def main() -> None:
        used = pool("default").statistics
        for url, expected in (("/holds_a_lease", 200), ("/holds_a_lease?fail", 500)):
            assert (await get(url)).status == expected
            assert used().used == 0
        assert events == [(0, 1, 1)] * 2

    with patch.dict(connections.settings["default"], OPTIONS=options):
        loop_runner(main)
