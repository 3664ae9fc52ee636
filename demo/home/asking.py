"""Asks a service for a part of the page, once in async and once in synchronous code."""

from __future__ import annotations

import asyncio

import httpx

from .answers import FAULTS, Answer, Budget, Part, describe, read_items

TOO_LATE = "was not asked, as the page's time was up"


async def ask(client: httpx.AsyncClient, part: Part, budget: Budget) -> Answer:
    """Return a part, or what was wrong with it, before the page's time is up."""
    began = budget.elapsed()
    if not budget.left():
        return Answer(part, began, began, [], TOO_LATE)
    try:
        async with asyncio.timeout(budget.left()):
            response = await client.get(part.url, timeout=None)
        items = read_items(response)
    except FAULTS as fault:
        return Answer(part, began, budget.elapsed(), [], describe(fault))
    return Answer(part, began, budget.elapsed(), items)


def ask_sync(client: httpx.Client, part: Part, budget: Budget) -> Answer:
    """Do the same in synchronous code, which cannot be cancelled from outside."""
    began = budget.elapsed()
    if not budget.left():
        return Answer(part, began, began, [], TOO_LATE)
    try:
        items = read_items(_get(client, part.url, budget))
    except FAULTS as fault:
        return Answer(part, began, budget.elapsed(), [], describe(fault))
    return Answer(part, began, budget.elapsed(), items)


def _get(client: httpx.Client, url: str, budget: Budget) -> httpx.Response:
    # The timeout is for each wait, so a service that sends a byte now and then is looked at
    # after each of them.
    with client.stream("GET", url, timeout=budget.left()) as response:
        parts = []
        for data in response.iter_bytes():
            parts.append(data)
            if not budget.left():
                raise TimeoutError
    return httpx.Response(response.status_code, content=b"".join(parts), request=response.request)
