"""Tools that watch queries and requests, by patches and wrappers, see each request's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from django.conf import settings
from django.core import signals
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from django_loom import in_thread, on_loop, run_sync
from django_loom.asgi import get_asgi_application
from django_loom.db import parking
from django_loom.db.lifespan import close_pools
from tests.http.client import Browser
from tests.http.traced_site import REQUESTS
from tests.loops import LoopRunner
from tests.testapp.models import Marker

pytestmark = pytest.mark.usefixtures("db_tables")

SQL_COMMENTER = (
    "opentelemetry.instrumentation.django.middleware.sqlcommenter_middleware.SqlCommenter"
)
BOTH_MODES = pytest.mark.parametrize("mode", ["thread", "loop"])

seen_queries: dict[str, list[str]] = {}
seen_logs: dict[str, list[str]] = {}
current_request: ContextVar[str] = ContextVar("current_request")


def number_of(url: str) -> str:
    return url.split("/")[-2]


def owners(statements: list[str]) -> set[str]:
    return set(re.findall(r"owner = (\d+)", " ".join(statements)))


def wrapping_queries(get_response: Any) -> Any:
    """What Django's documentation of execute_wrapper() shows, as middleware."""

    def middleware(request: HttpRequest) -> Any:
        queries = seen_queries[request.path] = []

        def note(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
            queries.append(sql)
            return execute(sql, *args)

        with connection.execute_wrapper(note):
            return get_response(request)

    return middleware


def noting_logs(get_response: Any) -> Any:
    """As a toolbar does: looks at the log at the end of the request."""

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        seen_logs[request.path] = [query["sql"] for query in connection.queries]
        return response

    return middleware


def naming_request(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        current_request.set(request.path)
        return get_response(request)

    return middleware


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    seen_queries.clear()
    seen_logs.clear()


def site(mode: str, *middleware: str, **other: Any) -> override_settings:
    here = [name if "." in name else f"{__name__}.{name}" for name in middleware]
    return override_settings(
        ROOT_URLCONF="tests.http.traced_site",
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=here,
        LOOM={"SYNC_VIEWS": mode},
        **other,
    )


async def all_at_once() -> None:
    application = get_asgi_application()
    answers = await asyncio.gather(*(Browser(application).get(url) for url in REQUESTS))
    assert Counter(answer.status for answer in answers) == {200: 25, 500: 5}


class TestQueryWrappers:
    @BOTH_MODES
    def test_a_middlewares_wrapper_sees_the_queries_of_its_request(
        self, loop_runner: LoopRunner, mode: str
    ) -> None:
        with site(mode, "wrapping_queries"):
            loop_runner(all_at_once)
        for url in REQUESTS:
            assert owners(seen_queries[url]) == {number_of(url)}
            assert len(seen_queries[url]) == (3 if "gathered" in url else 2)

    @BOTH_MODES
    def test_opentelemetrys_comments_name_the_route_of_their_request(
        self, loop_runner: LoopRunner, mode: str
    ) -> None:
        with site(mode, "wrapping_queries", SQL_COMMENTER, "wrapping_queries"):
            loop_runner(all_at_once)
        for url in REQUESTS:
            route = "/".join(url.split("/")[1:-2])
            commented = [sql for sql in seen_queries[url] if "route=" in sql]
            assert len(commented) == (3 if "gathered" in url else 2)
            assert all(f"route='{route}/%%3Cint" in sql for sql in commented)

    @BOTH_MODES
    def test_patches_of_cursors_see_who_asks(
        self, loop_runner: LoopRunner, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, str, str]] = []

        def noting(name: str) -> Callable[..., Any]:
            original = getattr(CursorWrapper, name)

            def patched(self: CursorWrapper, sql: Any, *args: Any) -> Any:
                seen.append((name, current_request.get(), sql))
                return original(self, sql, *args)

            return patched

        for name in ("execute", "executemany"):
            monkeypatch.setattr(CursorWrapper, name, noting(name))
        with site(mode, "naming_request"):
            loop_runner(all_at_once)
        assert Counter(name for name, *_ in seen) == {"execute": 40, "executemany": 25}
        for _, url, sql in seen:
            assert owners([sql]) == {number_of(url)}

    def test_a_patch_of_connect_is_called_in_the_request_that_connects(
        self, loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: set[str] = set()
        connect = BaseDatabaseWrapper.connect

        def patched(self: BaseDatabaseWrapper) -> Any:
            seen.add(current_request.get())
            return connect(self)

        monkeypatch.setattr(BaseDatabaseWrapper, "connect", patched)

        async def main() -> None:
            await close_pools()
            await all_at_once()

        with site("loop", "naming_request"):
            loop_runner(main)
        assert seen
        assert seen <= set(REQUESTS)


class TestPatchesOfTheHandler:
    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        """Counts the calls of what tools patch, in Django's own classes."""
        calls: Counter[str] = Counter()

        def counting(owner: Any, name: str) -> None:
            original = getattr(owner, name)

            def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
                calls[name] += 1
                return original(self, *args, **kwargs)

            monkeypatch.setattr(owner, name, patched)

        counting(ASGIHandler, "__call__")
        for name in ("create_request", "handle"):
            counting(ASGIHandler, name)
        for name in ("load_middleware", "get_response", "make_view_atomic", "resolve_request"):
            counting(BaseHandler, name)
        return calls

    @BOTH_MODES
    def test_each_is_called_once_for_each_request(
        self, loop_runner: LoopRunner, mode: str, calls: Counter[str]
    ) -> None:
        with site(mode):
            loop_runner(all_at_once)
        del calls["handle"]  # ours, wholly
        requests = len(REQUESTS)
        assert calls == {
            "load_middleware": 1,
            "__call__": requests,
            "create_request": requests,
            "get_response": requests,
            "resolve_request": requests,
            "make_view_atomic": requests,
        }

    @BOTH_MODES
    def test_signals_come_in_the_requests_context(self, loop_runner: LoopRunner, mode: str) -> None:
        seen: list[tuple[str, str]] = []

        def started(scope: dict[str, Any], **kwargs: Any) -> None:
            current_request.set(scope["path"])

        def failed(request: HttpRequest, **kwargs: Any) -> None:
            assert request.path == current_request.get()
            seen.append(("failed", request.path))

        def finished(**kwargs: Any) -> None:
            seen.append(("finished", current_request.get()))

        signals.request_started.connect(started)
        signals.got_request_exception.connect(failed)
        signals.request_finished.connect(finished)
        try:
            with site(mode):
                loop_runner(all_at_once)
        finally:
            signals.request_started.disconnect(started)
            signals.got_request_exception.disconnect(failed)
            signals.request_finished.disconnect(finished)
        failing = [("failed", url) for url in REQUESTS if "failing" in url]
        assert sorted(seen) == sorted([*failing, *(("finished", url) for url in REQUESTS)])


class TestDebug:
    @BOTH_MODES
    def test_the_log_of_queries_is_the_requests_own(
        self, loop_runner: LoopRunner, mode: str
    ) -> None:
        parking._parked.clear()
        with site(mode, "noting_logs", DEBUG=True):
            for _ in range(2):  # with connections made in the first round, and then with those
                loop_runner(all_at_once)
                for url in REQUESTS:
                    log = seen_logs.pop(url)
                    assert owners(log) == {number_of(url)}
                    assert len(log) == (3 if "gathered" in url else 2)

    @BOTH_MODES
    def test_it_is_empty_when_the_next_request_comes_in_the_same_context(
        self, loop_runner: LoopRunner, mode: str
    ) -> None:
        """As with servers that begin a pipelined request where the one before has ended."""

        async def main() -> None:
            browser = Browser(get_asgi_application(), in_task=False)
            for url in REQUESTS[:6]:
                await browser.get(url)

        with site(mode, "noting_logs", DEBUG=True):
            loop_runner(main)
        for url in REQUESTS[:6]:
            assert owners(seen_logs[url]) == {number_of(url)}

    @BOTH_MODES
    def test_a_view_sees_its_own_queries(self, loop_runner: LoopRunner, mode: str) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            Marker.objects.count()
            return HttpResponse(str(len(connection.queries)))

        async def async_view(request: HttpRequest) -> HttpResponse:
            await asyncio.gather(*(Marker.objects.acount() for _ in range(3)))
            return HttpResponse(str(await run_sync(lambda: len(connection.queries))))

        urls = [
            path("sync/", view),
            path("async/", async_view),
            path("loop/", on_loop(include([path("", view)]))),
            path("thread/", in_thread(include([path("", view)]))),
        ]

        async def main() -> None:
            application = get_asgi_application()
            jobs = [Browser(application).get(f"/{url.pattern}") for url in urls * 3]
            answers = await asyncio.gather(*jobs)
            assert [answer.text for answer in answers] == ["1", "3", "1", "1"] * 3

        parking._parked.clear()
        with site(mode, DEBUG=True), override_settings(ROOT_URLCONF=tuple(urls)):
            for _ in range(2):
                loop_runner(main)

    def test_a_capture_around_a_request_keeps_its_queries(self, loop_runner: LoopRunner) -> None:
        async def main() -> None:
            with CaptureQueriesContext(connection) as captured:
                await Browser(get_asgi_application()).get("/plain/1/")
                await Browser(get_asgi_application()).get("/gathered/2/")
            assert owners([query["sql"] for query in captured]) == {"1", "2"}
            assert len(captured) == 5

        for debug in (False, True):
            with site("thread", DEBUG=debug):
                loop_runner(main)

    def test_without_debug_nothing_is_logged(self, loop_runner: LoopRunner) -> None:
        with site("loop", "noting_logs"):
            loop_runner(all_at_once)
        assert list(seen_logs.values()) == [[]] * len(REQUESTS)


def traced(tool: str, mode: str) -> list[dict[str, Any]]:
    entry = settings.DATABASES["default"]
    address = {key: entry[key] for key in ["HOST", "PORT", "NAME", "USER", "PASSWORD"]}
    done = subprocess.run(
        [sys.executable, "-m", "tests.http.traced", tool, mode],
        env=os.environ | {"LOOM_CHILD_DATABASE": json.dumps(address)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    result: list[dict[str, Any]] = json.loads(done.stdout)
    return result


@BOTH_MODES
def test_sentry_gets_a_transaction_for_each_request_with_its_own_queries(mode: str) -> None:
    events = traced("sentry", mode)
    transactions = {
        event["request"]["url"].removeprefix("http://testserver"): event
        for event in events
        if event.get("type") == "transaction"
    }
    assert sorted(transactions) == sorted(REQUESTS)
    for url, event in transactions.items():
        kind, number = url.split("/")[1:3]
        spans = event["spans"]
        assert event["transaction"] == f"/{kind}/{{number}}/"
        assert owners([span["description"] for span in spans]) == {number}
        operations = Counter(span["op"] for span in spans if "SELECT" in span["description"])
        assert operations == {"db": 3 if kind == "gathered" else 2}
        operations = Counter(span["op"] for span in spans)
        assert (operations["view.render"], operations["middleware.django"]) == (1, 2)
    errors = [event for event in events if event.get("type") != "transaction"]
    assert len(errors) == 5
    for error in errors:
        number = number_of(error["request"]["url"])
        (exception,) = error["exception"]["values"]
        crumbs = [crumb.get("message", "") for crumb in error["breadcrumbs"]["values"]]
        assert exception["value"] == f"fault {number}"
        assert owners(crumbs) == {number}


@BOTH_MODES
def test_opentelemetry_gets_the_spans_of_each_request_in_its_own_trace(mode: str) -> None:
    spans = traced("opentelemetry", mode)
    traces: dict[int, list[dict[str, Any]]] = {}
    for span in spans:
        traces.setdefault(int(span["context"]["trace_id"], 16), []).append(span)
    assert sorted(traces) == sorted(int(number_of(url)) for url in REQUESTS)
    for url in REQUESTS:
        kind, number = url.split("/")[1:3]
        names = {span["context"]["span_id"]: span["name"] for span in traces[int(number)]}
        tree = {span["name"]: names.get(span["parent_id"]) for span in traces[int(number)]}
        request = f"GET {kind}/<int:number>/"
        if kind == "gathered":
            parts = {f"part {part} {number}": f"gathered {number}" for part in range(3)}
            assert tree == {request: None, f"gathered {number}": request, **parts}
        else:
            assert tree == {request: None, f"plain {number}": request}
