"""django-reversion: a request that writes is one revision, with what it saved and its user."""

from __future__ import annotations

from collections.abc import Iterator

import reversion
from django.db import models
from django.http import HttpRequest
from reversion.models import Revision

from tests.packages.visits import KINDS, STREAMS, VISITORS, Meet, Visits, number_of, streams, views


@reversion.register
class Note(models.Model):
    text = models.CharField(max_length=50)


def work(request: HttpRequest, meet: Meet) -> None:
    number = number_of(request)
    Note.objects.create(text=f"first of {number}")
    meet()
    reversion.set_comment(str(number))
    Note.objects.create(text=f"second of {number}")


def parts(request: HttpRequest, meet: Meet) -> Iterator[bool]:
    """One revision and its transaction, from the first part to the last."""
    number = number_of(request)
    with reversion.create_revision():
        reversion.set_user(request.user)
        for step in range(3):
            Note.objects.create(text=f"part {step} of {number}")
            meet()
            yield reversion.is_active()
            reversion.set_comment(str(number))


urlpatterns = views(work) + streams(parts)


async def visit(visits: Visits) -> None:
    await visits.each_kind("answers", lambda number: None, method="POST")
    written = [["first", "second"]] * len(KINDS) + [[f"part {step}" for step in range(3)]] * len(
        STREAMS
    )
    await visits.each_kind("parts", lambda number: [True] * 3, STREAMS)
    found = [
        [
            revision.user and revision.user.username,
            revision.comment,
            *sorted([version.field_dict["text"] async for version in revision.version_set.all()]),
        ]
        async for revision in Revision.objects.select_related("user")
    ]
    expected = [
        [f"user{number}", str(number), *(f"{each} of {number}" for each in texts)]
        for number in range(VISITORS)
        for texts in written
    ]
    visits.check("revisions", sorted(expected, key=str), sorted(found, key=str))
