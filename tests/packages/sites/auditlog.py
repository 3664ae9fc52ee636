"""django-auditlog: each log entry names the actor and the address of its request."""

from __future__ import annotations

from collections.abc import Iterator

from auditlog.context import set_actor
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.db import models
from django.http import HttpRequest

from tests.packages.visits import STREAMS, Meet, Visits, number_of, streams, views


class Note(models.Model):
    text = models.CharField(max_length=50)


auditlog.register(Note)


def work(request: HttpRequest, meet: Meet) -> list[str]:
    note = Note.objects.create(text=f"begun by {number_of(request)}")
    meet()
    note.text = f"changed by {number_of(request)}"
    note.save()
    entries = LogEntry.objects.get_for_object(note).select_related("actor")
    return [str(entry.actor) for entry in entries]


def parts(request: HttpRequest, meet: Meet) -> Iterator[str]:
    """After the middleware, so the iterator has the actor itself."""
    with set_actor(request.user):
        for step in range(3):
            note = Note.objects.create(text=f"part {step} of {number_of(request)}")
            meet()
            yield str(LogEntry.objects.get_for_object(note).select_related("actor").get().actor)


urlpatterns = views(work) + streams(parts)


async def visit(visits: Visits) -> None:
    await visits.each_kind("actors", lambda number: [f"user{number}"] * 2)
    await visits.each_kind("actors of parts", lambda number: [f"user{number}"] * 3, STREAMS)
