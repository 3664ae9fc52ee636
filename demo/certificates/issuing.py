"""Issues certificates: the PDF is made in a thread, all else waits on the loop."""

from __future__ import annotations

import asyncio
from typing import Any

from django.utils import timezone

from demo.books.models import Enrolment

from .models import Certificate, new_number
from .stamping import Details, make_pdf


async def enrolment_of(user: Any, slug: str) -> Enrolment | None:
    """Return a user's place in a course, with the course and the certificate but not its PDF."""
    enrolments = Enrolment.objects.select_related("course", "certificate")
    return await enrolments.defer("certificate__pdf").filter(user=user, course__slug=slug).afirst()


def certificate_of(enrolment: Enrolment) -> Certificate | None:
    """Return the certificate of an enrolment, if one was issued."""
    return getattr(enrolment, "certificate", None)


async def issue(enrolment: Enrolment, name: str) -> Certificate:
    """Make the certificate of an enrolment out to a name.

    One with that name stays as it is. A name changed later changes the certificate, whose
    number, and address, it keeps.

    :param name: as ``clean_name()`` returns it.
    """
    issued = certificate_of(enrolment)
    if issued is not None and issued.name == name:
        return issued
    number = issued.number if issued else new_number()
    now = timezone.now()
    details = Details(name, enrolment.course.title, now, number)
    # CPU: on the loop it would hold up everybody.
    pdf = await asyncio.to_thread(make_pdf, details)
    certificate, _ = await Certificate.objects.aupdate_or_create(
        enrolment=enrolment,
        defaults={"name": name, "issued": now, "number": number, "pdf": pdf},
    )
    return certificate
