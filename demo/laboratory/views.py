"""The last report, and an experiment with live progress."""

from __future__ import annotations

import asyncio
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from demo.under_the_hood.recorder import recorded_in

from . import reports
from .choices import CHOICES
from .events import events
from .experiments import Busy, experiments

# A report has its styles inside, and nothing else: it may do nothing more than look like that.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@require_GET
async def index(request: HttpRequest) -> HttpResponse:
    """The whole page."""
    return TemplateResponse(request, "laboratory/index.html", await _context())


@recorded_in(None)
@require_GET
async def panel(request: HttpRequest) -> HttpResponse:
    """The part of the page that changes, for those who can't listen to events."""
    return TemplateResponse(request, "laboratory/_panel.html", await _context())


@recorded_in(None)
@require_GET
async def progress(request: HttpRequest) -> StreamingHttpResponse:
    """The progress as server-sent events."""
    return StreamingHttpResponse(
        events(experiments),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@require_POST
async def start(request: HttpRequest) -> HttpResponse:
    """Begin an experiment."""
    user = await request.auser()
    if not user.is_authenticated:
        return _to_login()
    name = request.POST.get("experiment", "")
    if name not in CHOICES:
        messages.error(request, "There is no such experiment. Choose one of the list.")
    else:
        try:
            experiments.start(name, user.get_username())
        except Busy:
            messages.warning(request, "An experiment is under way; only one runs at a time.")
    return HttpResponseRedirect(reverse("laboratory:index"))


@require_POST
async def cancel(request: HttpRequest) -> HttpResponse:
    """End the experiment that runs, whoever began it."""
    if not (await request.auser()).is_authenticated:
        return _to_login()
    experiments.cancel()
    return HttpResponseRedirect(reverse("laboratory:index"))


@require_GET
def report_file(request: HttpRequest, name: str, file: str) -> FileResponse:
    """A file of a report. Not async: it reads files, which belongs into a thread."""
    path = reports.find_file(name, file)
    if path is None:
        raise Http404("There is no such report.")
    return FileResponse(
        path.open("rb"),
        content_type=reports.FILES[file],
        headers={
            "Content-Security-Policy": REPORT_POLICY,
            "X-Content-Type-Options": "nosniff",
        },
    )


def _to_login() -> HttpResponseRedirect:
    # To the page with the form, and not to the address that only takes it.
    return redirect_to_login(reverse("laboratory:index"))


async def _context() -> dict[str, Any]:
    found, said = await asyncio.to_thread(_read_reports)
    return {
        "progress": experiments.progress,
        "choices": CHOICES.values(),
        "reports": found,
        "latest": found[0] if found else None,
        "said": said,
    }


def _read_reports() -> tuple[list[reports.Report], reports.Said]:
    found = reports.listed()
    return found, found[0].said() if found else reports.Said()
