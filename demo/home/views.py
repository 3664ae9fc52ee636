"""The first page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


async def index(request: HttpRequest) -> HttpResponse:
    """Show what this is, and its areas."""
    return render(request, "home/index.html")
