"""What the how-to pages say happens, happens."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading

import pytest

from tests.polling import eventually

from .blocks import blocks, commands
from .project import Project
from .serving import served

ADOPT, DEBUG = "docs/how-to/adopt.md", "docs/how-to/debug.md"
SERVE = "loom serve mysite.asgi:application"
URLS = """
from django.urls import path
from shop import views
urlpatterns = [path("", views.index), path("books/", views.books), path("blocks", views.blocks)]
"""
ONE_CONNECTION = """
DATABASES["default"]["OPTIONS"] = {"pool": {"max_size": 1, "timeout": 0.2}}
"""
VIEWS = """
import asyncio
import os
import time
from django.http import HttpResponse
from django_loom import atomic
from django_loom.exceptions import PoolTimeout
from shop.models import Book

async def index(request):
    time.sleep(0.2)
    return HttpResponse("slow")

async def hold(held, enough):
    async with atomic():
        await Book.objects.acount()
        held.set()
        await enough.wait()

async def books(request):
    held, enough = asyncio.Event(), asyncio.Event()
    holder = asyncio.create_task(hold(held, enough))
    await held.wait()
    try:
        await Book.objects.acount()
    except PoolTimeout as error:
        return HttpResponse(str(error))
    finally:
        enough.set()
        await holder

async def blocks(request):
    print("<blocks>", flush=True)
    with open("go_on") as fifo:  # blocks until somebody writes
        return HttpResponse(fifo.read())
"""


@pytest.fixture
def debugged(project: Project) -> Project:
    project.path("shop/views.py").write_text(VIEWS)
    project.path("mysite/urls.py").write_text(URLS)
    settings = project.path("mysite/settings.py")
    settings.write_text(settings.read_text() + ONE_CONNECTION)
    for block in blocks(DEBUG, "python"):
        if block.file:
            project.add(block)
    os.mkfifo(project.path("go_on"))
    return project


def alike(text: str) -> str:
    """A message without what differs from run to run."""
    text = re.sub(r"/\S*/shop/", "/shop/", text.strip())
    return re.sub(r"\d+(\.\d+)?", "0", text)


def test_the_message_of_a_pool_is_what_the_page_shows(debugged: Project) -> None:
    shown = [block.text for block in blocks(DEBUG, "text") if "became free" in block.text]
    with served(debugged, SERVE) as server:
        assert [alike(server.get("/books/")[1])] == [alike(each) for each in shown]


def test_debug_mode_and_the_signal_find_what_blocks(debugged: Project) -> None:
    (command,) = [line for line in commands(DEBUG) if "DEBUG" in line]
    with served(debugged, command) as server:
        if sys.version_info >= (3, 12):  # uvicorn has a runner of its own on 3.11
            eventually(lambda: re.search(r"Executing .* took \d", server.output))
        request = threading.Thread(target=server.get, args=("/blocks",))
        request.start()
        eventually(lambda: "<blocks>" in server.output)
        server.process.send_signal(signal.SIGUSR1)
        eventually(lambda: "in blocks" in server.output)
        debugged.path("go_on").write_text("gone on")
        request.join()
        assert re.search(r'views\.py", line \d+ in blocks', server.output)


def test_the_adopted_project_answers(project: Project) -> None:
    for block in blocks(ADOPT, "python"):
        if block.file and "DATABASES" not in block.text:
            project.add(block)
    with served(project, SERVE) as server:
        assert "The Dispossessed, Le Guin" in server.get("/books/7/")[1]
        assert "The Dispossessed" in server.get("/")[1]
        assert server.get("/admin/login/")[0] == 200
