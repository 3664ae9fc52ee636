"""A page of `QUERIES` queries, with the synchronous and with the asynchronous ORM."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from orm_site.models import Note

QUERIES = 4


def notes(request: HttpRequest) -> HttpResponse:
    return HttpResponse("\n".join(Note.objects.get(pk=key).text for key in range(QUERIES)))


async def notes_async(request: HttpRequest) -> HttpResponse:
    found = [await Note.objects.aget(pk=key) for key in range(QUERIES)]
    return HttpResponse("\n".join(note.text for note in found))
