"""A request is freed at its end, and only when nobody can reach it any more."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import aget_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject

from django_loom import in_thread, on_loop
from django_loom.asgi import get_asgi_application
from django_loom.http import release as release_module
from django_loom.http.body import RequestBody
from django_loom.http.release import release
from tests.http.asgi import Connection, request, start
from tests.http.handler_views import DEFAULT_MIDDLEWARE
from tests.loops import LoopRunner

WATCH_AFTER = "django_loom.http.body.WATCH_AFTER_SECONDS"
freed: list[weakref.ref[HttpRequest]] = []
kept: list[Any] = []


def plain(request: HttpRequest) -> HttpResponse:
    freed.append(weakref.ref(request))
    return HttpResponse("here")


async def plain_async(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.03)  # so that there is a watch
    return plain(request)


def with_user_and_message(request: HttpRequest) -> HttpResponse:
    assert not request.user.is_authenticated
    messages.info(request, "seen")
    return plain(request)


async def with_async_user(request: HttpRequest) -> HttpResponse:
    assert not (await request.auser()).is_authenticated
    return plain(request)


def with_its_request(request: HttpRequest) -> HttpResponse:
    response = plain(request)
    response.request = request  # type: ignore[attr-defined]
    return response


def streaming(request: HttpRequest) -> StreamingHttpResponse:
    plain(request)
    return StreamingHttpResponse(iter(["a", request.path]))


async def streaming_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        yield request.path

    plain(request)
    return StreamingHttpResponse(parts())


def own_cycle(request: HttpRequest) -> HttpResponse:
    request.details = SimpleLazyObject(lambda: [request])  # type: ignore[attr-defined]
    return plain(request)


async def background(request: HttpRequest) -> HttpResponse:
    async def later() -> tuple[str, Any]:
        await asyncio.sleep(0.02)
        return request.path, await aget_user(request)

    kept.append(asyncio.create_task(later()))
    return plain(request)


def keeps(what: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        kept.append(what(request))
        return plain(request)

    return on_loop(view)


VIEWS: dict[str, Any] = {
    "loop": on_loop(plain),
    "thread": in_thread(plain),
    "async": plain_async,
    "user": on_loop(with_user_and_message),
    "auser": with_async_user,
    "response": on_loop(with_its_request),
    "streaming": on_loop(streaming),
    "streaming_async": streaming_async,
    "own_cycle": on_loop(own_cycle),
}
KEPT: dict[str, Callable[[HttpRequest], Any]] = {
    "request": lambda request: request,
    "lazy_user": lambda request: request.user,
    "auser": lambda request: request.auser,
    "storage": lambda request: request._messages,  # type: ignore[attr-defined]
    "closure": lambda request: object.__getattribute__(request.user, "__dict__")["_setupfunc"],
    "method": lambda request: request.build_absolute_uri,
}
urlpatterns = [
    *(path(name, view) for name, view in VIEWS.items()),
    *(path(f"keep/{name}", keeps(what)) for name, what in KEPT.items()),
    path("background", background),
    path("keep/session", keeps(lambda request: request.session)),
]


@pytest.fixture(autouse=True)
def without_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(WATCH_AFTER, 0.01)
    monkeypatch.setattr(RequestBody, "lasted", True)
    freed.clear()
    kept.clear()
    gc.collect()
    gc.disable()
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=DEFAULT_MIDDLEWARE,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    ):
        yield
    gc.enable()
    kept.clear()


async def one_request(url: str) -> Connection:
    answer = await request("GET", url)
    await asyncio.sleep(0)  # the watch ends
    assert answer.status == 200
    return answer


@pytest.mark.parametrize("name", VIEWS)
def test_a_request_ends_without_the_collector(loop_runner: LoopRunner, name: str) -> None:
    answer = loop_runner(one_request, f"/{name}")
    assert answer.content
    assert [ref() for ref in freed] == [None]


@pytest.mark.parametrize("name", VIEWS)
def test_no_request_leaves_garbage(loop_runner: LoopRunner, name: str) -> None:
    """What the watch leaves counts too, and the cancellation that ends it."""

    application = get_asgi_application()

    async def requests(number: int) -> None:
        connections = [Connection({"type": "http.request"}) for _ in range(number)]
        served = (start(each, "GET", f"/{name}", application=application) for each in connections)
        await asyncio.gather(*served)
        for _ in range(5):
            await asyncio.sleep(0)  # the watches end

    async def main() -> int:
        await requests(2)
        gc.collect()
        await requests(50)
        return gc.collect()

    # A loop and its threads make some garbage now and then: less than two objects a request.
    assert loop_runner(main) < 100


@pytest.mark.parametrize(("name", "is_freed"), [("loop", False), ("async", True)])
def test_only_a_request_that_lasted_is_worth_the_look(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch, name: str, is_freed: bool
) -> None:
    monkeypatch.setattr(RequestBody, "lasted", False)
    loop_runner(one_request, f"/{name}")
    assert (freed[0]() is None) is is_freed


def test_what_wraps_the_application_finds_the_request_by_a_weak_reference(
    loop_runner: LoopRunner,
) -> None:
    paths: list[str] = []
    application = get_asgi_application()

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        await application(scope, receive, send)
        still = freed[0]()
        assert still is not None
        paths.append(still.path)

    async def main() -> None:
        await request("GET", "/auser", application=traced)
        await asyncio.sleep(0)

    loop_runner(main)
    assert paths == ["/auser"]
    assert freed[0]() is None


@pytest.mark.parametrize("name", KEPT)
def test_what_somebody_keeps_stays_whole(loop_runner: LoopRunner, name: str) -> None:
    loop_runner(one_request, f"/keep/{name}")
    still = freed[0]()
    assert still is not None
    assert still.user == AnonymousUser()
    assert still.build_absolute_uri() == f"http://testserver/keep/{name}"
    assert list(messages.get_messages(still)) == []


def test_a_part_that_does_not_know_the_request_does_not_keep_it(loop_runner: LoopRunner) -> None:
    loop_runner(one_request, "/keep/session")
    assert freed[0]() is None
    assert kept[0].get("nothing") is None


def test_a_task_that_goes_on_has_its_request(loop_runner: LoopRunner) -> None:
    async def main() -> tuple[str, Any]:
        await one_request("/background")
        result: tuple[str, Any] = await kept.pop()
        return result

    assert loop_runner(main) == ("/background", AnonymousUser())


class Thing:
    """An object with attributes, as a request is one."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def cyclic(**more: Any) -> list[Thing]:
    thing = Thing(name="a", **more)
    thing.__dict__["part"] = Thing(whole=thing, more=[(thing, lambda: thing), {"it": thing}])
    return [thing]


def is_emptied(held: list[Thing]) -> bool:
    release(held)
    return not held[0].__dict__


def test_all_ways_back_are_found() -> None:
    assert is_emptied(cyclic())


def test_another_reference_to_it_is_one_too_many() -> None:
    held = cyclic()
    other = held[0]
    assert not is_emptied(held)
    assert other.__dict__["part"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_somebody_who_has_a_part_that_leads_back_keeps_it(depth: int) -> None:
    held = cyclic()
    other: Any = held[0].__dict__["part"]
    for step in ["more", 0][: depth - 1]:
        other = other.__dict__[step] if isinstance(step, str) else other[step]
    assert not is_emptied(held)
    del other
    assert is_emptied(held)


def test_a_cycle_inside_ends_the_search() -> None:
    inner = Thing()
    inner.__dict__["self"] = Thing(back=inner)
    held = cyclic(inner=inner)
    del inner
    assert is_emptied(held)


def test_what_holds_much_is_left_to_the_collector() -> None:
    held = cyclic(much=[Thing() for _ in range(500)])  # pytest keeps what an assert contains
    assert not is_emptied(held)


def test_counts_that_are_not_exact_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "_COUNTS_ARE_EXACT", False)
    assert not is_emptied(cyclic())
