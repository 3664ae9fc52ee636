"""What begins and ends with the server: the one HTTP client that all requests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from django.http import HttpRequest


@asynccontextmanager
async def lifespan(application: Any) -> AsyncIterator[dict[str, Any]]:
    """Give each request the shared client, in ``request.scope["state"]``."""
    async with httpx.AsyncClient() as client:
        yield {"http_client": client}


@asynccontextmanager
async def http_client(request: HttpRequest) -> AsyncIterator[httpx.AsyncClient]:
    """The shared client; one for this request alone where no server runs, as in tests."""
    state = getattr(request, "scope", {}).get("state", {})
    if "http_client" in state:
        yield state["http_client"]
        return
    async with httpx.AsyncClient() as client:
        yield client
