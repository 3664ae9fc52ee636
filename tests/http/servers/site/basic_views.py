"""Views that answer at once."""

from __future__ import annotations

import json

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
)

from django_loom import pool

from .models import Note
from .records import named, temporary_files


async def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


def plain_in_thread(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


def form(request: HttpRequest) -> JsonResponse:
    return JsonResponse(request.POST.dict())


async def json_echo(request: HttpRequest) -> JsonResponse:
    return JsonResponse(json.loads(request.body))


async def cookies(request: HttpRequest) -> JsonResponse:
    response = JsonResponse(request.COOKIES)
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", httponly=True)
    return response


async def redirect(request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect("/plain")


async def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view is broken")


async def notes(request: HttpRequest) -> JsonResponse:
    alias = request.GET.get("alias", "default")
    return JsonResponse({"notes": await Note.objects.using(alias).acount()})


async def record(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse(named(name).as_json())


async def open_gate(request: HttpRequest, name: str) -> HttpResponse:
    named(name).open()
    return HttpResponse()


async def statistics(request: HttpRequest) -> JsonResponse:
    """What is in use: connections, and the temporary files that were ever made."""
    used = {alias: pool(alias).statistics().used for alias in ("default", "single")}
    return JsonResponse({"used": used, "temporary_files": temporary_files})
