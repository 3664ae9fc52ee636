"""The HTTP clients that requests share; see lifespan.py, which makes them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import httpx
from django.http import HttpRequest


@asynccontextmanager
async def client(request: HttpRequest) -> AsyncIterator[httpx.AsyncClient]:
    """Give the shared client; one for this request alone where no server runs, as in tests."""
    shared = _state(request).get("client")
    if shared is not None:
        yield shared
        return
    async with httpx.AsyncClient(trust_env=False, verify=_tls()) as own:
        yield own


@contextmanager
def sync_client(request: HttpRequest) -> Iterator[httpx.Client]:
    """Do the same for a synchronous view."""
    shared = _state(request).get("sync_client")
    if shared is not None:
        yield shared
        return
    with httpx.Client(trust_env=False, verify=_tls()) as own:
        yield own


@cache
def _tls() -> ssl.SSLContext:
    # Reading all authorities takes longer than a request to this machine.
    return httpx.create_ssl_context(trust_env=False)


def _state(request: HttpRequest) -> dict[str, Any]:
    scope: dict[str, Any] = getattr(request, "scope", {})
    return scope.get("state") or {}
