"""django-simple-history: each historical record names the user of its request."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import models
from django.http import HttpRequest
from simple_history.models import HistoricalRecords

from tests.packages.visits import STREAMS, Meet, Visits, number_of, streams, views


class Note(models.Model):
    text = models.CharField(max_length=50)
    history = HistoricalRecords()


def work(request: HttpRequest, meet: Meet) -> list[str]:
    note = Note.objects.create(text=f"begun by {number_of(request)}")
    meet()
    note.text = f"changed by {number_of(request)}"
    note.save()
    return [str(record.history_user) for record in note.history.order_by("pk")]


def parts(request: HttpRequest, meet: Meet) -> Iterator[str]:
    """After the middleware, so the iterator sets the request itself."""
    HistoricalRecords.context.request = request
    try:
        for step in range(3):
            note = Note.objects.create(text=f"part {step} of {number_of(request)}")
            meet()
            yield str(note.history.get().history_user)
    finally:
        del HistoricalRecords.context.request


urlpatterns = views(work) + streams(parts)


async def visit(visits: Visits) -> None:
    await visits.each_kind("users of the records", lambda number: [f"user{number}"] * 2)
    await visits.each_kind("users of parts", lambda number: [f"user{number}"] * 3, STREAMS)
