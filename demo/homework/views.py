"""Hand in homework, list it, download it, delete it."""

from __future__ import annotations

import asyncio
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, redirect
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST, require_safe

from django_loom import streaming_body

from .kinds import Kind
from .models import Submission
from .pages import list_alone, taken, turned_down, whole_page
from .receiving import receive
from .refusals import Refused, not_logged_in

# For a browser that opens the file in a window of this site all the same.
POLICY_OF_FILES = "default-src 'none'; sandbox"


@login_required
@require_GET
async def index(request: HttpRequest) -> HttpResponse:
    """Show the form, and what the student has handed in."""
    return await whole_page(request)


@login_required
@require_GET
async def files(request: HttpRequest) -> HttpResponse:
    """Show the list alone."""
    return await list_alone(request)


@csrf_exempt  # receive() makes the check, once its upload handler is in place
@require_POST
@streaming_body
async def hand_in(request: HttpRequest) -> HttpResponse:
    """Take in a file. A reason against it that is known early ends the upload early."""
    user = await request.auser()
    try:
        if not user.is_authenticated:
            raise not_logged_in()
        submission = await receive(request, user)
    except Refused as refusal:
        return await turned_down(request, refusal)
    return taken(request, submission)


@login_required
@require_safe
async def download(request: HttpRequest, identity: UUID) -> FileResponse:
    """Send a file of the student's own, to be saved and never shown as part of the site."""
    submission = await _own_submission(request, identity)
    try:
        file = await asyncio.to_thread(submission.path.open, "rb")
    except FileNotFoundError:
        raise Http404("The file is gone from the storage.") from None
    response = FileResponse(
        file,
        as_attachment=True,
        filename=submission.name,
        content_type=Kind(submission.kind).media_type,
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = POLICY_OF_FILES
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@login_required
@require_POST
async def delete(request: HttpRequest, identity: UUID) -> HttpResponse:
    """Delete a file of the student's own; it leaves the disk after the commit."""
    submission = await _own_submission(request, identity)
    await submission.adelete()
    if "HX-Request" in request.headers:
        return await list_alone(request)
    messages.success(request, f"{submission.name} is deleted.")
    return redirect("homework:index")


async def _own_submission(request: HttpRequest, identity: UUID) -> Submission:
    """Return it, if it is the student's: others' are not there."""
    found: Submission = await aget_object_or_404(
        Submission, id=identity, owner=await request.auser()
    )
    return found
