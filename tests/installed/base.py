"""Django's new project on the base install: it passes its checks, and answers requests on SQLite.

Run by an interpreter that has django_loom with what that requires, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory

REQUIRED = {"asgiref", "django", "django-loom", "greenlet", "sqlparse"}
SETTINGS = """
INSTALLED_APPS = ["django_loom", *INSTALLED_APPS]
DATABASES["default"]["ENGINE"] = "django_loom.db.sqlite3"
ALLOWED_HOSTS = ["testserver"]
"""
URLS = """
import asyncio

import django_loom
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import path


async def of_async_code(request):
    async with django_loom.atomic():
        await Group.objects.acreate(name="authors")
    counts = await asyncio.gather(*(Group.objects.acount() for _ in range(3)))
    return HttpResponse(f"{counts}")


@django_loom.on_loop
def of_synchronous_code(request):
    return HttpResponse(Group.objects.get().name)


urlpatterns = [
    path("admin/", admin.site.urls),
    path("async/", of_async_code),
    path("sync/", of_synchronous_code),
]
"""
REQUESTS = """
import asyncio

from mysite.asgi import application
from django.test import AsyncRequestFactory


async def get(path):
    scope = AsyncRequestFactory().get(path).scope
    body = [{"type": "http.request", "body": b"", "more_body": False}]
    sent = []

    async def receive():
        if body:
            return body.pop()
        return await asyncio.Future()

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def main():
    assert await get("/async/") == (200, b"[1, 1, 1]")
    assert await get("/sync/") == (200, b"authors")
    status, page = await get("/admin/login/")
    assert status == 200 and b"csrfmiddlewaretoken" in page, page


asyncio.run(main())
"""


def main() -> None:
    found = {each.name.lower() for each in distributions()}
    assert found == REQUIRED, f"{found ^ REQUIRED} is more or less than the base install"
    with TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, "-m", "django", "startproject", "mysite", ".")
        with (folder / "mysite/settings.py").open("a") as settings:
            settings.write(SETTINGS)
        asgi = folder / "mysite/asgi.py"
        asgi.write_text(asgi.read_text().replace("django.core.asgi", "django_loom.asgi"))
        (folder / "mysite/urls.py").write_text(URLS)
        (folder / "requests.py").write_text(REQUESTS)
        run(folder, "manage.py", "check", "--fail-level", "WARNING")
        run(folder, "manage.py", "migrate", "--verbosity", "0")
        run(folder, "requests.py")


def run(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-W", "error", *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    main()
