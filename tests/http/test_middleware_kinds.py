"""Middleware of every kind, in every order, with each of its hooks."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import async_only_middleware, sync_and_async_middleware

from django_loom import in_thread, on_loop
from tests.http.asgi import get
from tests.http.handler_views import VIEWS, events, site, views
from tests.loops import LoopRunner

HERE = __name__
rendered: list[TemplateResponse] = []


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


TEMPLATE_VIEWS = [thread_template, loop_template, async_template]
urlpatterns = [path(view.__name__, view) for view in [*VIEWS, *TEMPLATE_VIEWS]]


@pytest.fixture(autouse=True)
def our_urls() -> Iterator[None]:
    with site(HERE):
        yield


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
