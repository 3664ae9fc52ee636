"""Reads and sets how the services behave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from django.conf import settings

from .answers import FAULTS, describe

TIMEOUT = 1.0

Values = dict[str, Any]


async def read_all(client: httpx.AsyncClient) -> dict[str, Values | str]:
    """Return what each service is set to, or what was wrong when it was asked."""
    calls = [_call(client, name, "GET", None) for name in settings.SERVICES]
    return dict(zip(settings.SERVICES, await asyncio.gather(*calls), strict=True))


async def set_all(
    client: httpx.AsyncClient, values: Mapping[str, Values]
) -> dict[str, Values | str]:
    """Set services, each by its name; the result is as of :func:`read_all`."""
    calls = [_call(client, name, "PUT", each) for name, each in values.items()]
    return dict(zip(values, await asyncio.gather(*calls), strict=True))


async def _call(
    client: httpx.AsyncClient, name: str, method: str, data: Values | None
) -> Values | str:
    url = f"{settings.SERVICES[name]}/behaviour"
    try:
        async with asyncio.timeout(TIMEOUT):
            response = await client.request(method, url, json=data, timeout=None)
        response.raise_for_status()
        values: Values = response.json()
    except FAULTS as fault:
        return describe(fault)
    return values
