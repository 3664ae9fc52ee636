"""What begins and ends with the server: the HTTP clients that all requests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from django.conf import settings
from django.urls import resolve

from demo.laboratory.experiments import experiments


@asynccontextmanager
async def lifespan(application: Any) -> AsyncIterator[dict[str, Any]]:
    """Give each request the shared clients, in ``request.scope["state"]``.

    The synchronous one is for the view that shows what waiting one after the other costs:
    so that the order is all in which it differs from the others.
    """
    resolve("/")  # imports all views now, and not while somebody waits for the first page
    with httpx.Client(trust_env=False) as sync_client:
        async with httpx.AsyncClient(trust_env=False) as client:
            await _warm_up(client)
            try:
                yield {"client": client, "sync_client": sync_client}
            finally:
                await experiments.stop()


async def _warm_up(client: httpx.AsyncClient) -> None:
    # What httpx imports with its first connection would hold up the first page's questions.
    for address in settings.SERVICES.values():
        with suppress(httpx.HTTPError):
            await client.get(f"{address}/behaviour", timeout=1)
