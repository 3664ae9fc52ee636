"""What the pages show, and how an upload is answered: in JSON to the script, else as a page.

A ``TemplateResponse`` is rendered on the loop in the greenlet of its request, where the query
that the template makes waits like any other.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from .models import Submission
from .receiving import MOST_FILES
from .refusals import Refused


async def whole_page(request: HttpRequest, refusal: Refused | None = None) -> HttpResponse:
    """Return the page with the form and the list, and with the reason of a refusal."""
    context = {
        **await _list_context(request),
        "refusal": refusal,
        "most_bytes": settings.LOOM["MAX_BODY"],
    }
    status = refusal.status if refusal else 200
    return TemplateResponse(request, "homework/index.html", context, status=status)


async def list_alone(request: HttpRequest) -> HttpResponse:
    """Return the list, for a script to put in its place."""
    return TemplateResponse(request, "homework/_files.html", await _list_context(request))


def taken(request: HttpRequest, submission: Submission) -> HttpResponse:
    """Answer an upload that went well."""
    text = f"{submission.name} is handed in."
    if _wants_json(request):
        return JsonResponse({"message": text}, status=201)
    messages.success(request, text)
    return redirect("homework:index")


async def turned_down(request: HttpRequest, refusal: Refused) -> HttpResponse:
    """Answer an upload that is refused."""
    if _wants_json(request):
        return JsonResponse({"message": refusal.message}, status=refusal.status)
    if refusal.status == 401:
        return redirect_to_login(reverse("homework:index"))
    return await whole_page(request, refusal)


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept") == "application/json"


async def _list_context(request: HttpRequest) -> dict[str, Any]:
    owner = await request.auser()
    return {"submissions": Submission.objects.filter(owner=owner), "most_files": MOST_FILES}
