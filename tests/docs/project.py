"""A Django project as the documentation takes it: `mysite`, with an app `shop`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .blocks import Block

SETTINGS = """

INSTALLED_APPS = ["django_loom", *INSTALLED_APPS, "shop"]
ALLOWED_HOSTS = ["*"]
DATABASES["default"]["ENGINE"] = "django_loom.db.sqlite3"
"""
MODELS = '''"""The models that the documentation speaks of."""

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, models.CASCADE)


class Stock(models.Model):
    book = models.OneToOneField(Book, models.CASCADE)
    left = models.IntegerField()


class Order(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    quantity = models.IntegerField(default=1)
    paid = models.BooleanField(default=False)
'''
ROWS = """
from shop.models import Author, Book, Order, Stock
author = Author.objects.create(name="Le Guin")
book = Book.objects.create(pk=7, title="The Dispossessed", author=author)
Stock.objects.create(pk=9, book=book, left=100)
Order.objects.create(pk=1, book=book)
"""
TEMPLATE = "{% for book in books %}{{ book.title }}, {{ book.author.name }}\n{% endfor %}"


class Project:
    """A project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, text: str = "") -> str:
        """Run Python with these arguments; what it prints. Fails if the command does."""
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.folder,
            env=environment(),
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def manage(self, *arguments: str) -> str:
        return self.run("manage.py", *arguments)

    def path(self, name: str) -> Path:
        return self.folder / name

    def add(self, block: Block) -> None:
        """Put a block into the file that it names: after what is in there, settings are."""
        assert block.file
        path = self.path(block.file)
        if path.name == "settings.py":
            path.write_text(path.read_text() + "\n" + with_what_was_there(block.text))
        else:
            path.write_text(block.text)

    def replace(self, name: str, before: str, after: str) -> None:
        path = self.path(name)
        assert before in path.read_text(), f"{name} has no {before!r}"
        path.write_text(path.read_text().replace(before, after))


def environment() -> dict[str, str]:
    """That of this process, but for what the tests' own Django needs."""
    mine = ("DJANGO_", "PYTEST_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    return kept | {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONUNBUFFERED": "1"}


def with_what_was_there(text: str) -> str:
    """A fragment of settings in which `[..., "x"]` has what the list had in place of the dots."""
    lines = []
    for line in text.splitlines():
        name = line.partition(" = ")[0]
        lines.append(line.replace("...", f"*{name}") if line.startswith(f"{name} = [") else line)
    return "\n".join(lines) + "\n"


def start(folder: Path) -> Project:
    """What `startproject` makes, with the app and its rows."""
    project = Project(folder)
    project.run("-m", "django", "startproject", "mysite", ".")
    for name, content in {
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "shop/views.py": "",
        "shop/templates/books.html": TEMPLATE,
    }.items():
        project.path(name).parent.mkdir(parents=True, exist_ok=True)
        project.path(name).write_text(content)
    settings = project.path("mysite/settings.py")
    settings.write_text(settings.read_text() + SETTINGS)
    project.replace("mysite/asgi.py", "django.core.asgi", "django_loom.asgi")
    project.manage("migrate", "--run-syncdb", "--verbosity", "0")
    project.run("manage.py", "shell", "--verbosity", "0", "-c", ROWS)
    return project
