"""What belongs to a request by its context: it reaches all of its code, and no other request."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import django
import pytest
import uvicorn
from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async
from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import get_script_prefix, path, reverse
from django.utils import formats, timezone, translation
from django.utils.translation import gettext, gettext_lazy
from django.views import View

from django_loom import in_thread, on_loop
from django_loom.asgi import get_asgi_application
from tests.http.client import Answer, Browser
from tests.loops import LoopRunner
from tests.polling import aeventually

COMMON = "django.middleware.common.CommonMiddleware"
BOTH_MODES = pytest.mark.parametrize("mode", ["thread", "loop"])
LANGUAGES = {"en": "Monday", "de": "Montag", "fr": "lundi", "es": "lunes", "nl": "maandag"}
HOURS = {"en": 0, "de": 1, "fr": 2, "es": 3, "nl": 4}  # by which the time zone of each is ahead
MONDAY = gettext_lazy("Monday")
MIDNIGHT = datetime(2020, 1, 1, tzinfo=UTC)

name: ContextVar[str] = ContextVar("name", default="")
answer: ContextVar[str] = ContextVar("answer", default="")
local = Local()
logger = logging.getLogger("tests.contexts")


class Meeting:
    """Lets code of several requests go on when all have come to this point."""

    def __init__(self) -> None:
        self.parties = 1
        self.present = 0
        self.changed = asyncio.Event()

    async def wait(self) -> None:
        self.present += 1
        target = -(-self.present // self.parties) * self.parties
        self.changed.set()
        while self.present < target:
            self.changed.clear()
            await self.changed.wait()


meeting = Meeting()


def meet() -> None:
    async_to_sync(meeting.wait)()


def surroundings() -> str:
    """All that the middleware has set, in words that differ for each request."""
    local_time = timezone.localtime(MIDNIGHT).hour
    in_local = getattr(local, "name", "")
    url = reverse("page")
    decimal = formats.get_format("DECIMAL_SEPARATOR")
    return f"{gettext('Monday')} {local_time} {name.get()} {in_local} {url} {decimal}"


def expected(language: str) -> str:
    decimal = "." if language == "en" else ","
    url = f"/{language}/page/"
    return f"{LANGUAGES[language]} {HOURS[language]} {language} {language} {url} {decimal}"


def urlconf(language: str) -> Any:
    module: Any = ModuleType(f"urls_{language}")
    module.urlpatterns = [
        path(f"{language}/page/", plain, name="page"),
        *(path(f"{view}/", function) for view, function in VIEWS.items()),
    ]
    return module


def surrounding(get_response: Any) -> Any:
    """Sets everything from the query, as locale and time zone middleware do from a user."""

    def middleware(request: HttpRequest) -> Any:
        language = request.GET.get("language")
        if language is None:
            return get_response(request)
        translation.activate(language)
        timezone.activate(timezone.get_fixed_timezone(60 * HOURS[language]))
        name.set(language)
        local.name = language
        request.urlconf = URLCONFS[language]  # type: ignore[attr-defined]
        meet()
        response = get_response(request)
        meet()
        response["after"] = f"{name.get()} {answer.get()} {translation.get_language()}"
        return response

    return middleware


def async_surrounding(get_response: Any) -> Any:
    async def middleware(request: HttpRequest) -> Any:
        language = request.GET["language"]
        translation.activate(language)
        name.set(language)
        await meeting.wait()
        response = await get_response(request)
        response["after"] = f"{name.get()} {answer.get()} {translation.get_language()}"
        return response

    return middleware


async_surrounding.async_capable = True  # type: ignore[attr-defined]
async_surrounding.sync_capable = False  # type: ignore[attr-defined]


def plain(request: HttpRequest) -> HttpResponse:
    first = surroundings()
    meet()
    answer.set(f"seen by {name.get()}")
    return HttpResponse(first if first == surroundings() else "changed")


async def awaited(request: HttpRequest) -> HttpResponse:
    first = surroundings()
    await meeting.wait()
    answer.set(f"seen by {name.get()}")
    in_task, in_thread = await asyncio.gather(_in_task(), sync_to_async(surroundings)())
    assert in_task == in_thread == surroundings()
    return HttpResponse(first if first == surroundings() else "changed")


async def _in_task() -> str:
    return surroundings()


class ClassView(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return plain(request)


def template(request: HttpRequest) -> HttpResponse:
    plain(request)
    source = (
        "{% load i18n tz %}{% translate 'Monday' %} {{ midnight|date:'G' }} "
        "{{ name }} {{ local }} {% url 'page' %} {{ decimal }}"
    )
    context = {
        "midnight": MIDNIGHT,
        "name": name.get,
        "local": lambda: local.name,
        "decimal": lambda: formats.get_format("DECIMAL_SEPARATOR"),
    }
    return TemplateResponse(request, engines["django"].from_string(source), context)


def stream(request: HttpRequest) -> HttpResponseBase:
    plain(request)

    def parts() -> Iterator[str]:
        meet()
        yield surroundings()

    return StreamingHttpResponse(parts())


async def async_stream(request: HttpRequest) -> HttpResponseBase:
    await awaited(request)

    async def parts() -> AsyncIterator[str]:
        await meeting.wait()
        yield surroundings()

    return StreamingHttpResponse(parts())


VIEWS: dict[str, Callable[..., Any]] = {
    "plain": plain,
    "awaited": awaited,
    "class": ClassView.as_view(),
    "template": template,
    "stream": stream,
    "async-stream": async_stream,
    "on-loop": on_loop(ClassView.as_view()),
    "in-thread": in_thread(ClassView.as_view()),
}
URLCONFS = {language: urlconf(language) for language in LANGUAGES}
EACH_VIEW = pytest.mark.parametrize("view", VIEWS)


def show(request: HttpRequest) -> HttpResponse:
    """What a request finds for which nobody has set anything."""
    zone = timezone.get_current_timezone_name()
    in_local = getattr(local, "name", "")
    return HttpResponse(f"{gettext('Monday')} {zone} {name.get()!r} {in_local!r}")


NOTHING_SET = "Monday UTC '' ''"


async def async_show(request: HttpRequest) -> HttpResponse:
    return show(request)


def setting(request: HttpRequest) -> HttpResponse:
    """Sets what the next request must not see; shows what this one sees."""
    shown = show(request)
    translation.activate("de")
    timezone.activate(timezone.get_fixed_timezone(60))
    name.set("mine")
    local.name = "mine"
    assert request.method == "GET" or len(request.body)
    return shown


async def async_setting(request: HttpRequest) -> HttpResponse:
    return setting(request)


def refusing(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        return get_response(request) if request.path != "/refused/" else refused(request)

    return middleware


def refused(request: HttpRequest) -> HttpResponse:
    """Answers without a look at the body."""
    shown = show(request)
    translation.activate("de")
    name.set("mine")
    return shown


def log(request: HttpRequest, number: int) -> HttpResponse:
    logger.info("in the view of %d", number)
    meet()
    if number % 3 == 0:
        raise Http404
    if number % 3 == 1:
        raise ValueError(number)
    return HttpResponse(get_script_prefix())


def numbering(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        name.set(request.path.split("/")[-2])
        return get_response(request)

    return middleware


urlpatterns = [
    path("show/", show),
    path("async-show/", async_show),
    path("setting/", setting),
    path("async-setting/", async_setting),
    path("log/<int:number>/", log),
]


def site(mode: str, *middleware: str) -> override_settings:
    return override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver", "127.0.0.1"],
        MIDDLEWARE=[each if "." in each else f"{__name__}.{each}" for each in middleware],
        LOOM={"SYNC_VIEWS": mode},
        LANGUAGE_CODE="en",
        USE_I18N=True,
        TIME_ZONE="UTC",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )


def gathered(
    runner: LoopRunner, urls: list[str], parties: int = 1, application: Any = None
) -> list[Answer]:
    """The answers to requests that run at the same time."""
    application = application or get_asgi_application()

    async def main() -> list[Answer]:
        global meeting
        meeting = Meeting()
        meeting.parties = parties
        return await asyncio.gather(*(Browser(application).get(url) for url in urls))

    answers: list[Answer] = runner(main)
    return answers


class TestMiddlewareAndView:
    @BOTH_MODES
    @EACH_VIEW
    def test_what_middleware_sets_is_in_all_the_requests_code_and_in_no_others(
        self, loop_runner: LoopRunner, view: str, mode: str
    ) -> None:
        with site(mode, "surrounding"):
            urls = [f"/{view}/?language={language}" for language in LANGUAGES]
            answers = gathered(loop_runner, urls, parties=len(urls))
        assert [each.text for each in answers] == [expected(language) for language in LANGUAGES]

    @BOTH_MODES
    @EACH_VIEW
    def test_what_the_view_sets_is_seen_by_middleware_on_the_way_out(
        self, loop_runner: LoopRunner, view: str, mode: str
    ) -> None:
        with site(mode, "surrounding"):
            urls = [f"/{view}/?language={language}" for language in LANGUAGES]
            answers = gathered(loop_runner, urls, parties=len(urls))
        assert [each.headers["after"] for each in answers] == [
            f"{language} seen by {language} {language}" for language in LANGUAGES
        ]

    @BOTH_MODES
    @pytest.mark.parametrize("view", ["plain", "awaited", "on-loop", "in-thread"])
    def test_async_middleware_shares_the_context_too(
        self, loop_runner: LoopRunner, view: str, mode: str
    ) -> None:
        with site(mode, "surrounding", "async_surrounding"):
            urls = [f"/{view}/?language={language}" for language in LANGUAGES]
            answers = gathered(loop_runner, urls, parties=len(urls))
        assert [each.text for each in answers] == [expected(language) for language in LANGUAGES]
        assert [each.headers["after"] for each in answers] == [
            f"{language} seen by {language} {language}" for language in LANGUAGES
        ]

    @BOTH_MODES
    def test_many_requests_each_with_its_urlconf(self, loop_runner: LoopRunner, mode: str) -> None:
        languages = list(LANGUAGES) * 20
        with site(mode, "surrounding"):
            urls = [f"/{language}/page/?language={language}" for language in languages]
            answers = gathered(loop_runner, urls)
            assert [each.text for each in answers] == [expected(each) for each in languages]
            (unknown,) = gathered(loop_runner, ["/de/page/?language=fr"])
        assert unknown.status == 404


class TestNextRequest:
    @BOTH_MODES
    @EACH_VIEW
    @pytest.mark.parametrize("show_url", ["/show/", "/async-show/"])
    def test_nothing_is_left_for_it(
        self, loop_runner: LoopRunner, view: str, show_url: str, mode: str
    ) -> None:
        """In particular nothing in the thread that both may have used."""

        async def main() -> None:
            global meeting
            meeting = Meeting()
            application = get_asgi_application()
            for language in ("de", "fr"):
                browser = Browser(application)
                assert (await browser.get(f"/{view}/?language={language}")).status == 200
                assert (await browser.get(show_url)).text == NOTHING_SET

        with site(mode, "surrounding"), override_settings(LOOM={"SYNC_VIEWS": mode, "THREADS": 1}):
            loop_runner(main)

    @BOTH_MODES
    @pytest.mark.parametrize("protocol", ["h11", "httptools"])
    def test_nothing_is_left_on_a_kept_connection(
        self, loop_runner: LoopRunner, protocol: str, mode: str
    ) -> None:
        async def main() -> None:
            global meeting
            meeting = Meeting()
            async with kept_connection(protocol) as exchange:
                for view, language in zip(VIEWS, [*LANGUAGES, *LANGUAGES], strict=False):
                    (first,) = await exchange(request_to(f"/{view}/?language={language}"))
                    assert expected(language) in first
                    for url in ("/show/", "/async-show/"):
                        assert await exchange(request_to(url)) == [NOTHING_SET]

        with site(mode, COMMON, "surrounding"):
            loop_runner(main)

    @BOTH_MODES
    @pytest.mark.parametrize("protocol", ["h11", "httptools"])
    @pytest.mark.parametrize("url", ["/setting/", "/async-setting/", "/refused/"])
    def test_nothing_is_left_after_an_upload_or_in_a_pipeline(
        self, loop_runner: LoopRunner, protocol: str, url: str, mode: str
    ) -> None:
        """With a large body uvicorn stops reading, and resumes it in the request's context."""

        async def main() -> None:
            small, large = request_to(url, b"x"), request_to(url, b"x" * 300_000)
            async with kept_connection(protocol) as exchange:
                for requests in ([small], [large], [small, small], [large, large]):
                    assert await exchange(*requests) == [NOTHING_SET] * len(requests)

        with site(mode, COMMON, "refusing"):
            loop_runner(main)


@asynccontextmanager
async def kept_connection(protocol: str) -> AsyncIterator[Callable[..., Any]]:
    """Sends requests over one connection to a uvicorn on this loop; returns their answers."""
    config = uvicorn.Config(
        get_asgi_application(), port=0, http=protocol, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    await aeventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def exchange(*requests: bytes) -> list[str]:
        writer.write(b"".join(requests))
        return [await read_answer(reader) for _ in requests]

    try:
        yield exchange
    finally:
        writer.close()
        server.should_exit = True
        await serving


async def read_answer(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if "content-length: " in head:
        size = int(head.split("content-length: ")[1].split("\r\n")[0])
        return (await reader.readexactly(size)).decode()
    return (await reader.readuntil(b"0\r\n\r\n")).decode()


def request_to(url: str, body: bytes = b"") -> bytes:
    method = "POST" if body else "GET"
    head = f"{method} {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class TestLogs:
    @BOTH_MODES
    def test_records_have_their_request_and_what_the_context_holds(
        self, loop_runner: LoopRunner, mode: str
    ) -> None:
        records: list[logging.LogRecord] = []

        class Numbered(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                record.number = name.get()
                records.append(record)

        with site(mode, "numbering"):
            application = get_asgi_application()  # which configures logging anew
            handler = Numbered()
            loggers = [logging.getLogger("django.request"), logger]
            logger.setLevel(logging.INFO)
            for each in loggers:
                each.addHandler(handler)
            try:
                urls = [f"/log/{number}/" for number in range(9)]
                gathered(loop_runner, urls, len(urls), application)
            finally:
                for each in loggers:
                    each.removeHandler(handler)
        of_views = [record for record in records if record.name == logger.name]
        assert sorted(record.getMessage() for record in of_views) == [
            f"in the view of {number}" for number in range(9)
        ]
        assert all(record.getMessage().endswith(f" {record.number}") for record in of_views)  # type: ignore[attr-defined]
        of_django = [record for record in records if record.name == "django.request"]
        assert sorted((record.number, record.status_code) for record in of_django) == [  # type: ignore[attr-defined]
            ("0", 404),
            ("1", 500),
            ("3", 404),
            ("4", 500),
            ("6", 404),
            ("7", 500),
        ]
        for record in of_django:
            assert record.request.path == f"/log/{record.number}/"  # type: ignore[attr-defined]
            if record.levelno == logging.ERROR:
                assert record.exc_info is not None
                assert str(record.exc_info[1]) == record.number  # type: ignore[attr-defined]

    @BOTH_MODES
    def test_mail_of_an_error_does_not_hold_up_the_loop(
        self, loop_runner: LoopRunner, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sending, other_is_answered = threading.Event(), threading.Event()
        subjects: list[str] = []

        def send_messages(backend: EmailBackend, messages: list[EmailMessage]) -> int:
            sending.set()
            assert other_is_answered.wait(20)
            subjects.extend(message.subject for message in messages)
            return len(messages)

        async def main() -> None:
            application = get_asgi_application()
            failing = asyncio.create_task(Browser(application).get("/log/1/"))
            await aeventually(lambda: sending.is_set() or failing.done())
            assert (await Browser(application).get("/async-show/")).status == 200
            other_is_answered.set()
            assert (await failing).status == 500

        monkeypatch.setattr(EmailBackend, "send_messages", send_messages)
        admin = "a@example.com"
        admins = [admin] if django.VERSION >= (6, 0) else [("Admin", admin)]
        mailer = {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}
        mailers = {"MAILERS": {"default": mailer}} if django.VERSION >= (6, 1) else {}
        with site(mode), override_settings(ADMINS=admins, **mailers):
            loop_runner(main)
        assert subjects == ["[Django] ERROR (EXTERNAL IP): Internal Server Error: /log/1/"]
