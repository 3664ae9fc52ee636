"""What the site did for its last requests, and what it does under 200 of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import urlunsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

import django_loom

from . import slow_query, work
from .load import AT_ONCE, REQUESTS, Busy, runner
from .pictures import HEIGHT, WIDTH, panels, timeline
from .recorder import HISTORIES, current, recorded_in
from .records import MAX_REQUESTS, most_at_once
from .said import findings

WORK = ("sync", "serial", "gathered")


@recorded_in(None)
@require_GET
async def index(request: HttpRequest) -> HttpResponse:
    """The whole page."""
    context = {**_recent(), **_pool(), **_load(), "slow_query": slow_query}
    return TemplateResponse(request, "under_the_hood/index.html", context)


@recorded_in(None)
@require_GET
async def recent(request: HttpRequest) -> HttpResponse:
    """The rows of the last requests alone, for the page to renew them."""
    return TemplateResponse(request, "under_the_hood/_rows.html", _recent())


@recorded_in(None)
@require_GET
async def pool(request: HttpRequest) -> HttpResponse:
    """The pool's figures alone."""
    return TemplateResponse(request, "under_the_hood/_pool.html", _pool())


@recorded_in(None)
@require_GET
async def one_request(request: HttpRequest, number: int) -> HttpResponse:
    """One request, with its timeline."""
    record = HISTORIES["requests"].find(number)
    if record is None:
        raise Http404(f"Only the last {MAX_REQUESTS} requests are kept.")
    context = {
        "record": record,
        "bars": timeline(record),
        "at_once": most_at_once(record.query_notes),
        "width": WIDTH,
        "is_sqlite": _is_sqlite(),
    }
    return TemplateResponse(request, "under_the_hood/request.html", context)


@require_POST
async def run_queries(request: HttpRequest) -> HttpResponse:
    """Make a few queries, one by one or gathered, then show the record of just that."""
    await slow_query.run_queries(at_once=request.POST.get("how") == "gathered")
    record = current()
    if record is None:
        return HttpResponseRedirect(reverse("under_the_hood:index"))
    return HttpResponseRedirect(reverse("under_the_hood:request", args=[record.number]))


@recorded_in(None)
@require_POST
async def run_load(request: HttpRequest) -> HttpResponse:
    """Send the requests, then show what happened. Who leaves meanwhile stops it."""
    problem = await _try_load(request)
    if "HX-Request" not in request.headers and not problem:
        return HttpResponseRedirect(reverse("under_the_hood:index") + "#load")
    context = {**_load(), "problem": problem}
    template = "under_the_hood/_load.html"
    if "HX-Request" not in request.headers:
        context |= {**_recent(), **_pool(), "slow_query": slow_query}
        template = "under_the_hood/index.html"
    return TemplateResponse(request, template, context)


async def _try_load(request: HttpRequest) -> str:
    """Return what hindered the load, if something did."""
    origin = _origin(request)
    if origin is None:
        return "The site can send requests to itself only where a server listens on a TCP port."
    paths = [reverse(f"under_the_hood:{name}") for name in WORK]
    try:
        await runner.run(origin, paths)
    except Busy:
        return "Another run is under way, and only one is made at a time. Try again in a moment."
    except TimeoutError:
        return "The run took too long and was ended. Is this machine very busy?"
    return ""


def _origin(request: HttpRequest) -> str | None:
    """Where the server listens: from the server itself, not from what a client's Host claims."""
    host, port = getattr(request, "scope", {}).get("server") or (None, None)
    if not host or not port:
        return None
    return urlunsplit(("http", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "", "", ""))


def _recent() -> dict[str, Any]:
    records = HISTORIES["requests"].newest_first()
    return {
        "rows": [(each, most_at_once(each.query_notes)) for each in records],
        "max_requests": MAX_REQUESTS,
        "is_sqlite": _is_sqlite(),
    }


def _pool() -> dict[str, Any]:
    return {"pool": asdict(django_loom.pool("default").statistics())}


def _load() -> dict[str, Any]:
    latest = runner.latest
    return {
        "run": latest,
        "panels": latest and panels(latest),
        "findings": latest and findings(latest, settings.LOOM["THREADS"]),
        "width": WIDTH,
        "height": HEIGHT,
        "requests": REQUESTS,
        "at_once": AT_ONCE,
        "work": work,
    }


def _is_sqlite() -> bool:
    return "sqlite3" in settings.DATABASES["default"]["ENGINE"]
