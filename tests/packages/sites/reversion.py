"""django-reversion: a request that writes is one revision, with what it saved and its user."""

from __future__ import annotations

import reversion
from django.db import models
from django.http import HttpRequest
from reversion.models import Revision

from tests.packages.visits import VISITORS, Meet, Visits, number_of, views


@reversion.register
class Note(models.Model):
    text = models.CharField(max_length=50)


def work(request: HttpRequest, meet: Meet) -> None:
    number = number_of(request)
    Note.objects.create(text=f"first of {number}")
    meet()
    reversion.set_comment(str(number))
    Note.objects.create(text=f"second of {number}")


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("answers", lambda number: None, method="POST")
    found = [
        [
            revision.user and revision.user.username,
            revision.comment,
            *sorted([version.field_dict["text"] async for version in revision.version_set.all()]),
        ]
        async for revision in Revision.objects.select_related("user")
    ]
    expected = [
        [f"user{number}", str(number), f"first of {number}", f"second of {number}"]
        for number in range(VISITORS)
    ]
    visits.check("revisions", sorted(expected * 3, key=str), sorted(found, key=str))
