"""django-postgres-extra: its ENGINE is built on ours, and its upserts run at the same time."""

from __future__ import annotations

from django.db import models
from django.http import HttpRequest
from psqlextra.models import PostgresModel
from psqlextra.query import ConflictAction

from tests.packages.visits import VISITORS, Meet, Visits, number_of, views


class Count(PostgresModel):
    name = models.CharField(max_length=50, unique=True)
    number = models.IntegerField(default=0)


def upsert(name: str, number: int) -> None:
    Count.objects.on_conflict(["name"], ConflictAction.UPDATE).insert(name=name, number=number)


def work(request: HttpRequest, meet: Meet) -> None:
    meet()
    upsert(f"of {number_of(request)}", number_of(request))
    upsert("common", 1)


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("answers", lambda number: None)
    found = await visits.outside("SELECT name, number FROM site_count")
    own = [[f"of {number}", number] for number in range(VISITORS)]
    visits.check("stored", sorted([*own, ["common", 1]]), sorted(found))
