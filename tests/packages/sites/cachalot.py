"""django-cachalot: what a transaction wrote and rolled back is seen by nobody else."""

from __future__ import annotations

from contextlib import suppress

from django.db import connection, models, transaction
from django.http import HttpRequest

from tests.packages.visits import VISITORS, Meet, Visits, number_of, views


class Note(models.Model):
    text = models.CharField(max_length=50)


class RolledBack(Exception):
    """Ends a transaction."""


def prepare() -> None:
    Note.objects.bulk_create(Note(pk=number + 1, text="kept") for number in range(VISITORS))


def texts() -> list[str]:
    return sorted(set(Note.objects.values_list("text", flat=True)))


def write_and_roll_back(number: int, meet: Meet) -> list[list[str]]:
    own = f"rolled back {number}"
    seen: list[list[str]] = []
    with suppress(RolledBack), transaction.atomic():
        Note.objects.filter(pk=number + 1).update(text=own)
        seen.append(texts())
        meet()
        seen.append(texts())
        raise RolledBack
    return [*seen, texts()]


def work(request: HttpRequest, meet: Meet) -> list[list[str]]:
    number = number_of(request)
    if number % 2:
        return write_and_roll_back(number, meet)
    seen = [texts()]
    meet()
    return [*seen, texts()]


urlpatterns = views(work)


def cached() -> bool:
    """Whether a second read of the same asks the database."""
    texts()
    connection.force_debug_cursor = True
    connection.queries_log.clear()
    texts()
    return not connection.queries


async def visit(visits: Visits) -> None:
    def expected(number: int) -> list[list[str]]:
        if number % 2:
            return [["kept", f"rolled back {number}"]] * 2 + [["kept"]]
        return [["kept"]] * 2

    await visits.in_sync(texts)  # cached before anybody writes: cachalot compares times
    await visits.each_kind("texts", expected)
    found = [text async for text in Note.objects.values_list("text", flat=True)]
    visits.check("read afterwards", ["kept"] * VISITORS, found)
    visits.check("it caches", True, await visits.in_sync(cached))
