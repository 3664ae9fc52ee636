"""django-currentuser: the user of the request that asks, and that a field fills in."""

from __future__ import annotations

from django.db import models
from django.http import HttpRequest
from django_currentuser.db.models import CurrentUserField
from django_currentuser.middleware import get_current_authenticated_user

from tests.packages.visits import Meet, Visits, views


class Note(models.Model):
    author = CurrentUserField()


def work(request: HttpRequest, meet: Meet) -> list[str]:
    before = get_current_authenticated_user()
    meet()
    note = Note.objects.create()
    return [str(user) for user in (before, get_current_authenticated_user(), note.author)]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("users", lambda number: [f"user{number}"] * 3)
