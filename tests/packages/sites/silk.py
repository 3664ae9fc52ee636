"""django-silk: each request is stored with the queries that it made."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.http import HttpRequest
from silk.models import Request

from tests.packages.visits import KINDS, VISITORS, Meet, Visits, number_of, views


def work(request: HttpRequest, meet: Meet) -> None:
    name = f"user{number_of(request)}"
    User.objects.get(username=name)
    meet()
    User.objects.get(username=name)


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("answers", lambda number: None)
    found = []
    async for request in Request.objects.all():
        texts = [query.query async for query in request.queries.all()]
        number = re.search(r'"visitor": "(\d+)"', request.query_params)
        owners = re.findall(r"= (user\d+)", " ".join(texts))
        found.append([request.path, int(number[1]) if number else None, owners])
    expected = [
        [f"/{kind}/", number, [f"user{number}"] * 2] for kind in KINDS for number in range(VISITORS)
    ]
    for kind in KINDS:
        wanted, got = (
            sorted(each for each in all_ if each[0] == f"/{kind}/") for all_ in (expected, found)
        )
        visits.check(f"queries ({kind})", wanted, got)
