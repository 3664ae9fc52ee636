"""django-pghistory: the triggers note the user and the address of the request that writes."""

from __future__ import annotations

import pghistory
from django.db import models
from django.http import HttpRequest

from tests.packages.visits import KINDS, VISITORS, Meet, Visits, number_of, views


@pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent())
class Note(models.Model):
    text = models.CharField(max_length=50)


def work(request: HttpRequest, meet: Meet) -> list[list[object]]:
    note = Note.objects.create(text=f"begun by {number_of(request)}")
    meet()
    note.text = f"changed by {number_of(request)}"
    note.save()
    events = note.events.select_related("pgh_context").order_by("pgh_id")
    contexts = [event.pgh_context and event.pgh_context.metadata for event in events]
    return [[context and context["user"], context and context["url"]] for context in contexts]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    for kind in KINDS:
        expected = [[[number + 1, f"/{kind}/"]] * 2 for number in range(VISITORS)]
        visits.check(f"contexts ({kind})", expected, await visits.at_once(kind))
    contexts = await visits.outside("SELECT count(*) FROM pghistory_context")
    visits.check("contexts", [[3 * VISITORS]], contexts)
