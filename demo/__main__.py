"""``make demo``: the ORM, a transaction and synchronous code, on one event loop."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path

import django
from django.conf import settings
from django.db import connection
from django.template import engines

import django_loom

TEMPLATE = "{% for book in books %}{{ book.title }} by {{ book.author.name }}. {% endfor %}"


def configure(database: Path) -> None:
    """Do what a project's settings do."""
    settings.configure(
        INSTALLED_APPS=["django_loom", "demo"],
        DATABASES={"default": {"ENGINE": "django_loom.db.sqlite3", "NAME": str(database)}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


def create_tables() -> None:
    """Plain synchronous Django, before any loop runs: as in manage.py migrate."""
    from demo.models import Author, Book

    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    connection.close()


def render() -> str:
    """Synchronous code with lazy relations: a query for each author."""
    from demo.models import Book

    html: str = engines["django"].from_string(TEMPLATE).render({"books": Book.objects.all()})
    return html


async def main() -> None:
    """The async side of a project."""
    from demo.models import Author, Book

    print("1. A transaction in async code, with two writes:")
    async with django_loom.atomic():
        author = await Author.objects.acreate(name="Ursula K. Le Guin")
        for title in ("The Dispossessed", "The Lathe of Heaven"):
            await Book.objects.acreate(title=title, author=author)
    print(f"   committed {await Book.objects.acount()} books")

    print("2. Three ORM calls at the same time, each on a connection of its own:")
    book, books, authors = await asyncio.gather(
        Book.objects.select_related("author").aget(pk=1),
        Book.objects.acount(),
        Author.objects.acount(),
    )
    print(f"   {book.title!r} by {book.author.name}; {books} books, {authors} author")
    figures = django_loom.pool("default").statistics()
    print(f"   the pool: {figures.created} connections made, {figures.used} in use now")

    print("3. Synchronous Django code, here a template with lazy relations:")
    print(f"   {await django_loom.run_sync(render)}")

    ours = [t.name for t in threading.enumerate() if t.name.startswith("django_loom")]
    print(f"All Django code ran in {threading.current_thread().name}. SQLite's driver cannot wait")
    print(f"on a loop, so its calls ran in {len(ours)} threads, one for each connection;")
    print("with 'django_loom.db.postgresql' there are none.")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        configure(Path(folder) / "demo.sqlite3")
        create_tables()
        asyncio.run(main())
