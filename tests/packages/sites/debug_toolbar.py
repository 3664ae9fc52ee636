"""django-debug-toolbar: its panel of queries has those of its request."""

from __future__ import annotations

import re

from debug_toolbar.store import get_store
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import include, path

from tests.packages.visits import KINDS, VISITORS, Meet, Visits, number_of, views


def show_toolbar(request: HttpRequest) -> bool:
    return True


def work(request: HttpRequest, meet: Meet) -> None:
    name = f"user{number_of(request)}"
    User.objects.get(username=name)
    meet()
    User.objects.get(username=name)


urlpatterns = views(work)


def prepare() -> None:
    """Add its pages, which can be imported only when the models are there."""
    urlpatterns.append(path("__debug__/", include("debug_toolbar.urls")))


def owners_by_request() -> list[list[str]]:
    """Whose queries each panel has, and forget them."""
    store = get_store()
    panels = [store.panel(each, "SQLPanel") for each in list(store.request_ids())]
    store.clear()
    queries = [[query["sql"] for query in panel.get("queries", [])] for panel in panels]
    return sorted(re.findall(r"'(user\d+)'", " ".join(each)) for each in queries)


async def visit(visits: Visits) -> None:
    for kind in KINDS:
        await visits.at_once(kind)
        expected = sorted([f"user{number}"] * 2 for number in range(VISITORS))
        found = await visits.in_sync(owners_by_request)
        visits.check(f"queries ({kind})", expected, found)
