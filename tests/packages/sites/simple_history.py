"""django-simple-history: each historical record names the user of its request."""

from __future__ import annotations

from django.db import models
from django.http import HttpRequest
from simple_history.models import HistoricalRecords

from tests.packages.visits import Meet, Visits, number_of, views


class Note(models.Model):
    text = models.CharField(max_length=50)
    history = HistoricalRecords()


def work(request: HttpRequest, meet: Meet) -> list[str]:
    note = Note.objects.create(text=f"begun by {number_of(request)}")
    meet()
    note.text = f"changed by {number_of(request)}"
    note.save()
    return [str(record.history_user) for record in note.history.order_by("pk")]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("users of the records", lambda number: [f"user{number}"] * 2)
