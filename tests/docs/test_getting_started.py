"""The three lines, as README and Getting started have them, in a project that Django has made."""

from __future__ import annotations

import json

import pytest

from .blocks import NAMES, Block, blocks
from .diffs import apply, changes
from .project import Project
from .serving import served

PAGE = "docs/getting-started.md"
DIFFS = [block for name in NAMES for block in blocks(name, "diff")]


@pytest.fixture
def stock(project: Project) -> Project:
    """The project as it was before django-loom, on PostgreSQL."""
    project.replace("mysite/asgi.py", "django_loom.asgi", "django.core.asgi")
    settings = project.path("mysite/settings.py")
    text = settings.read_text()
    begin = text.index('\n\nINSTALLED_APPS = ["django_loom"')
    settings.write_text(text[:begin] + "\nALLOWED_HOSTS = ['*']\n")
    project.replace("mysite/settings.py", "'", '"')
    project.replace("mysite/settings.py", "backends.sqlite3", "backends.postgresql")
    return project


def test_the_diffs_are_found_and_alike() -> None:
    assert {each.page for each in DIFFS} == {"README.md", PAGE}
    assert len({each.text for each in DIFFS}) == 1


def test_a_diff_is_read() -> None:
    found = changes(" # a.py\n x = [\n+    1,\n-y\n+z\n")
    assert [(each.after, each.replaces, each.lines) for each in found["a.py"]] == [
        ("x = [", False, ["    1,"]),
        ("y", True, ["z"]),
    ]


@pytest.mark.parametrize("diff", DIFFS, ids=str)
def test_the_three_lines_pass_the_checks(diff: Block, stock: Project) -> None:
    apply(diff.text, stock)
    assert "django_loom" in stock.path("mysite/asgi.py").read_text()
    stock.manage("check", "--fail-level", "WARNING")


def test_checks_find_what_is_forgotten(stock: Project) -> None:
    apply(DIFFS[0].text, stock)
    stock.replace("mysite/asgi.py", "django_loom.asgi", "django.core.asgi")
    assert "W002" in stock.manage("check")


def test_the_proof_is_what_the_page_says(stock: Project) -> None:
    apply(DIFFS[0].text, stock)
    stock.replace("mysite/settings.py", "postgresql", "sqlite3")
    for block in blocks(PAGE, "python"):
        if block.file:
            stock.add(block)
    expected = json.loads(blocks(PAGE, "json")[0].text)
    with served(stock, "loom serve mysite.asgi:application") as server:
        status, body = server.get("/proof/")
    assert (status, json.loads(body)) == (200, expected)
    announced = blocks(PAGE, "text")[0].text.strip()
    assert announced.replace("8000", str(server.port)) in server.output
