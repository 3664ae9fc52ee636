"""Each command of the deployment page that serves does so, and stops when it is asked to."""

from __future__ import annotations

import pytest

from .blocks import commands
from .project import Project
from .serving import MODULES, served

COUNTING = """
from django.http import JsonResponse
from django.urls import path
from shop.models import Book

async def count(request):
    return JsonResponse({"books": await Book.objects.acount()})

urlpatterns = [path("", count)]
"""
ELSEWHERE = ("--ssl-certfile", "--uds")  # tests/cli serves with these
LINES = [
    line
    for line in commands("docs/how-to/deploy.md")
    if line.partition(" ")[0] in MODULES and not any(option in line for option in ELSEWHERE)
]


def test_every_server_is_there() -> None:
    assert {line.partition(" ")[0] for line in LINES} == set(MODULES)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.timeout(90)
def test_a_server_serves_and_stops(line: str, project: Project) -> None:
    with served(project, line) as server:
        assert server.get("/")[0] == 200


@pytest.mark.timeout(90)
def test_runserver_serves_async_views(project: Project) -> None:
    project.path("mysite/urls.py").write_text(COUNTING)
    with served(project, "python manage.py runserver --noreload 8000") as server:
        assert server.get("/") == (200, '{"books": 1}')
