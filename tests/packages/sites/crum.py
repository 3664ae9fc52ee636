"""django-crum: the user of the request that asks."""

from __future__ import annotations

from crum import get_current_request, get_current_user
from django.contrib.auth.models import User
from django.http import HttpRequest

from tests.packages.visits import Meet, Visits, views


def work(request: HttpRequest, meet: Meet) -> list[str]:
    """The current user before others came, and after, with a query between."""
    before = get_current_user()
    meet()
    User.objects.count()
    current = get_current_request()
    return [str(before), str(get_current_user()), current and current.GET["visitor"]]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("users", lambda number: [*[f"user{number}"] * 2, str(number)])
