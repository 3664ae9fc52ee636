"""django-rls: PostgreSQL shows each request the rows of its user, by a session variable."""

from __future__ import annotations

from django.db import connection, models
from django.http import HttpRequest

from tests.packages.visits import VISITORS, Meet, Visits, number_of, views


class Note(models.Model):
    user_id = models.IntegerField()
    text = models.CharField(max_length=50)


def prepare() -> None:
    """A policy as django-rls writes them. The site's role obeys it, as superusers do not."""
    Note.objects.bulk_create(
        Note(user_id=number + 1, text=f"of {number}") for number in range(VISITORS)
    )
    for statement in (
        "CREATE POLICY own ON site_note "
        "USING (user_id = NULLIF(current_setting('rls.user_id', true), '')::integer)",
        "ALTER TABLE site_note ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE site_note FORCE ROW LEVEL SECURITY",
    ):
        with connection.cursor() as cursor:
            cursor.execute(statement)


def texts() -> list[str]:
    return [note.text for note in Note.objects.order_by("pk")]


def work(request: HttpRequest, meet: Meet) -> list[list[str]]:
    before = texts()
    meet()
    Note.objects.create(user_id=number_of(request) + 1, text="new")
    between = texts()
    Note.objects.filter(text="new").delete()
    return [before, between, texts()]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    def expected(number: int) -> list[list[str]]:
        own = f"of {number}"
        return [[own], [own, "new"], [own]]

    await visits.each_kind("rows", expected)
    visits.check("rows outside a request", [], await visits.in_sync(texts))
