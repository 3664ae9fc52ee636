"""A home page made from what other services answer; it does without one that fails.

Every page connects to its services anew, in all three ways of asking them.
"""

from __future__ import annotations

import asyncio
import os
import urllib.error
import urllib.request

import aiohttp
from django.http import HttpRequest, HttpResponse

SERVICES = os.environ.get("LAB_SERVICES", "").split()
TIMEOUT = 10.0


def page(answers: list[str | None]) -> HttpResponse:
    there = [answer for answer in answers if answer is not None]
    return HttpResponse(f"{len(there)} of {len(answers)} services")


def ask(address: str) -> str | None:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
            return str(response.read())
    except urllib.error.URLError:
        return None


async def aask(session: aiohttp.ClientSession, address: str) -> str | None:
    try:
        async with session.get(address) as response:
            response.raise_for_status()
            return await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return None


def new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT))


def sync(request: HttpRequest, services: int) -> HttpResponse:
    return page([ask(address) for address in SERVICES[:services]])


async def one_by_one(request: HttpRequest, services: int) -> HttpResponse:
    async with new_session() as session:
        return page([await aask(session, address) for address in SERVICES[:services]])


async def gathered(request: HttpRequest, services: int) -> HttpResponse:
    async with new_session() as session:
        return page(
            await asyncio.gather(*(aask(session, address) for address in SERVICES[:services]))
        )
