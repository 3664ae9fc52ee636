"""The six areas of the site: for the navigation of each page, and the cards of the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the site."""

    name: str
    href: str
    icon: str
    summary: str
    shows: str


AREAS = [
    Area(
        "Home",
        "/",
        "home",
        "Two services are asked for promotions and recommendations, in three ways.",
        "asyncio.gather, one shared client, deadlines",
    ),
    Area(
        "Books",
        "/books/",
        "books",
        "A library with a search, details and reviews that you can write.",
        "the ORM in async views, transactions",
    ),
    Area(
        "Certificate",
        "/certificates/",
        "certificate",
        "Take part in a course, and take home a PDF with your name on it.",
        "CPU work off the loop, downloads with ranges",
    ),
    Area(
        "Homework",
        "/homework/",
        "homework",
        "Hand in a large file, and watch it arrive.",
        "streaming uploads, limits, clients that leave",
    ),
    Area(
        "Under the hood",
        "/under-the-hood/",
        "hood",
        "What your last requests did: threads, queries, connections.",
        "hops, the pool, 200 requests at once",
    ),
    Area(
        "Lab",
        "/lab/",
        "lab",
        "Measure it on your own machine, and read the report.",
        "load experiments with live progress",
    ),
]


def context(request: HttpRequest) -> dict[str, Any]:
    """Tell each template the areas, and which of them the request is in."""
    return {"areas": AREAS, "current_area": _area_of(request)}


def _area_of(request: HttpRequest) -> Area | None:
    if request.resolver_match and request.resolver_match.namespace == "home":
        return AREAS[0]
    inner = (area for area in AREAS[1:] if request.path_info.startswith(area.href))
    return next(inner, None)
