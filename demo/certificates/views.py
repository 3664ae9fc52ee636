"""Certificates of a user's courses: what they say, and the PDF to download."""

from __future__ import annotations

import asyncio
from io import BytesIO

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from demo.books.models import Course, Enrolment

from .forms import NameForm
from .issuing import certificate_of, enrolment_of, issue
from .models import Certificate
from .names import LONGEST


@require_safe
async def index(request: HttpRequest) -> HttpResponse:
    """Show the user's courses, and which of them have a certificate already."""
    user = await request.auser()
    context = {}
    if user.is_authenticated:
        own = Enrolment.objects.filter(user=user).select_related("course", "certificate")
        context["enrolments"] = [each async for each in own.defer("certificate__pdf")]
    return TemplateResponse(request, "certificates/index.html", context)


@login_required
async def course(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the certificate of a course; issue it to the name that is sent."""
    user = await request.auser()
    enrolment = await enrolment_of(user, slug)
    if enrolment is None:
        return await _not_enrolled(request, slug)
    issued = certificate_of(enrolment)
    name = issued.name if issued else user.get_full_name() or user.get_username()
    form = NameForm(request.POST if request.method == "POST" else None, initial={"name": name})
    if form.is_bound and await asyncio.to_thread(form.is_valid):
        certificate = await issue(enrolment, form.cleaned_data["name"])
        messages.success(request, f"The certificate is made out to {certificate.name}.")
        return redirect("certificates:course", slug)
    context = {"enrolment": enrolment, "certificate": issued, "form": form, "longest": LONGEST}
    status = 422 if form.errors else 200
    return TemplateResponse(request, "certificates/course.html", context, status=status)


@require_safe
@login_required
async def download(request: HttpRequest, number: str) -> HttpResponse:
    """Send a certificate to its owner; to anybody else it does not exist.

    The handler answers ranges and conditions of any FileResponse with a seekable file. One in
    memory has no date of its own, so the ETag says which bytes these are: a client that has
    half of an older certificate, and asks with If-Range, gets all of the new one.
    """
    own = Certificate.objects.filter(enrolment__user=await request.auser())
    certificate = await aget_object_or_404(own.select_related("enrolment__course"), number=number)
    filename = f"certificate-{certificate.enrolment.course.slug}.pdf"
    response = FileResponse(BytesIO(certificate.pdf), as_attachment=True, filename=filename)
    response.headers["ETag"] = certificate.etag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


async def _not_enrolled(request: HttpRequest, slug: str) -> HttpResponse:
    course = await aget_object_or_404(Course, slug=slug)
    messages.warning(request, f"You get a certificate of “{course.title}” when you are enrolled.")
    return redirect(course)
