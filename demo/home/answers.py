"""What the page asks the services for, and what they answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
from django.conf import settings

Items = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page, which one of the services knows."""

    service: str
    path: str
    title: str

    @property
    def url(self) -> str:
        """Where it is asked for."""
        return f"{settings.SERVICES[self.service]}/parts/{self.path}"


PARTS = [
    Part("promotions", "offers", "Offers"),
    Part("promotions", "events", "Events"),
    Part("recommendations", "for-you", "For you"),
    Part("recommendations", "popular", "Popular now"),
]


# What of a page's time is for its questions; the rest is for its template.
SHARE = 0.9


class Budget:
    """The time that a page has, from when it was begun; ``deadline`` is in seconds."""

    def __init__(self) -> None:
        self.deadline: float = settings.HOME_DEADLINE
        self._began = time.perf_counter()

    def elapsed(self) -> float:
        """Return the seconds that are gone."""
        return time.perf_counter() - self._began

    def left(self) -> float:
        """Return the seconds that are left for questions; 0 if their time is up."""
        return max(0.0, self.deadline * SHARE - self.elapsed())


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for a part, and when, in seconds since the page was begun.

    Without a ``problem``, that is empty; with one, there are no items.
    """

    part: Part
    began: float
    ended: float
    items: Items
    problem: str = ""


class UnreadableAnswer(ValueError):
    """A service has sent something else than items."""


# What may go wrong with a question: each is told on the page.
FAULTS = (TimeoutError, httpx.HTTPError, ValueError)


def read_items(response: httpx.Response) -> Items:
    """Return the items of a whole response.

    :raises httpx.HTTPStatusError: its status is not a success.
    :raises UnreadableAnswer: there are no items in it, or they are not as they should be.
    """
    response.raise_for_status()
    try:
        items = response.json()["items"]
        return [{"title": str(item["title"]), "text": str(item["text"])} for item in items]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableAnswer(response.text[:100]) from error


def describe(fault: Exception) -> str:
    """Say what went wrong, as the end of a sentence that begins with the service's name."""
    match fault:
        case TimeoutError() | httpx.TimeoutException():
            return "did not answer in time"
        case httpx.ConnectError():
            return "cannot be reached"
        case httpx.HTTPStatusError():
            return f"answered {fault.response.status_code} {fault.response.reason_phrase}"
        case httpx.HTTPError():
            return "broke off its answer"
        case _:
            return "sent something that cannot be read"
