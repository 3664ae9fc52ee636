"""django-pglock: an advisory lock is its holder's, while that waits, and nobody's afterwards."""

from __future__ import annotations

import pglock
from django.db import connection
from django.http import HttpRequest

from tests.packages.visits import KINDS, VISITORS, Meet, Visits, number_of, views

HELD_HERE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


def held_here() -> int:
    with connection.cursor() as cursor:
        cursor.execute(HELD_HERE)
        return int(cursor.fetchone()[0])


def work(request: HttpRequest, meet: Meet) -> list[object]:
    number = number_of(request)
    with pglock.advisory(f"own {number}", timeout=0) as got_own:
        held = [held_here()]
        meet()
        held.append(held_here())
    meet()
    if number == 0:
        with pglock.advisory("common", timeout=0) as got_common:
            meet()  # it is taken
            meet()  # the others have tried
    else:
        meet()
        with pglock.advisory("common", timeout=0) as got_common:
            pass
        meet()
    return [got_own, held, got_common]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    for kind in KINDS:
        expected = [[True, [1, 1], number == 0] for number in range(VISITORS)]
        visits.check(f"locks ({kind})", expected, await visits.at_once(kind))
        left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        visits.check(f"left ({kind})", [[0]], await visits.outside(left))
