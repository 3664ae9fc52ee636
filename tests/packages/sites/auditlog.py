"""django-auditlog: each log entry names the actor and the address of its request."""

from __future__ import annotations

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.db import models
from django.http import HttpRequest

from tests.packages.visits import Meet, Visits, number_of, views


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


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("actors", lambda number: [f"user{number}"] * 2)
