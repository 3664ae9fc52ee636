"""Taking in one file, from the first byte of the form to the row of the database.

Django's parser reads the form while it arrives, and hands each piece of the file to our own
upload handler, which writes it into the storage's folder. The other way, ``request.stream()``,
would need a parser of our own for the form that browsers without JavaScript send, or a second
kind of upload beside it; and it would do without the limits and fixes of Django's parser. What it
would gain, pieces of less than 64 KiB, nobody needs.

CSRF is checked by Django's own middleware, but in here, as Django's documentation has it for
views with upload handlers of their own: for browsers that prove the origin in no header, the
check reads the form, and by then the handler has to be in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_protect

from django_loom import atomic, run_sync

from . import refusals
from .arrivals import Arrival
from .models import Submission
from .uploads import IntoFolder

MOST_FILES = 20


async def receive(request: HttpRequest, owner: AbstractBaseUser) -> Submission:
    """Take in the file of a form, of which nothing was read so far.

    However this ends, but for success, no file is left behind.

    :raises Refused: the file is not taken.
    """
    await _refuse_full(owner)
    handler = IntoFolder(_name_check(owner))
    request.upload_handlers = [handler]
    try:
        arrival = await _arrived(request, handler)
        return await _keep(owner, arrival)
    except BaseException:  # a client that leaves cancels this
        if handler.arrival is not None:
            # In a task of its own, so that a second cancellation does not stop it.
            await asyncio.shield(asyncio.create_task(_discard(handler.arrival)))
        raise


async def _refuse_full(owner: AbstractBaseUser) -> None:
    if await Submission.objects.filter(owner=owner).acount() >= MOST_FILES:
        raise refusals.too_many(MOST_FILES)


def _name_check(owner: AbstractBaseUser) -> Callable[[str], None]:
    def check(name: str) -> None:
        if Submission.objects.filter(owner=owner, name=name).exists():
            raise refusals.name_taken(name)

    return check


async def _arrived(request: HttpRequest, handler: IntoFolder) -> Arrival:
    try:
        answer = await run_sync(_read_form, request)
    except RequestDataTooBig:
        raise refusals.too_large(settings.LOOM["MAX_BODY"]) from None
    except (MultiPartParserError, SuspiciousOperation):
        raise refusals.broken_upload() from None
    except BadRequest:
        raise refusals.too_slow() from None
    if handler.refusal is not None:
        raise handler.refusal
    if answer.status_code == 403:
        raise refusals.not_from_here()
    if handler.arrival is None:
        raise refusals.no_file()
    return handler.arrival


@csrf_protect
def _read_form(request: HttpRequest) -> HttpResponse:
    """Read all of the form, if the check has not done that; the handler has the file then."""
    _ = request.POST
    return HttpResponse(status=204)


async def _keep(owner: AbstractBaseUser, arrival: Arrival) -> Submission:
    """Make the row, and give the file its name, both or neither."""
    try:
        async with atomic():
            submission = await Submission.objects.acreate(
                id=arrival.identity,
                owner=owner,
                name=arrival.name,
                kind=arrival.kind,
                size=arrival.size,
            )
            await _refuse_overfull(owner)
            await asyncio.to_thread(arrival.keep)
    except IntegrityError:
        raise refusals.name_taken(arrival.name) from None
    except OSError:
        raise refusals.not_stored() from None
    return submission


async def _refuse_overfull(owner: AbstractBaseUser) -> None:
    """Count again, as other uploads may have ended meanwhile; they do this one by one."""
    # Not FOR UPDATE: the new rows of both refer to the owner, and would wait for each other.
    await type(owner).objects.select_for_update(no_key=True).aget(pk=owner.pk)
    if await Submission.objects.filter(owner=owner).acount() > MOST_FILES:
        raise refusals.too_many(MOST_FILES)


async def _discard(arrival: Arrival) -> None:
    # A commit that was cut off may have taken place in the database; then the file stays.
    if arrival.is_kept and await Submission.objects.filter(id=arrival.identity).aexists():
        return
    await asyncio.to_thread(arrival.discard)
