"""Applications that the tests of `loom serve` serve; they print what happens to them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

TURNS = 50


def note(event: str) -> None:
    print(f"<{event}>", flush=True)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/thread":
        note("thread began")
        await asyncio.to_thread(time.sleep, 600)
    elif scope["path"] == "/hold":
        await asyncio.Event().wait()
    else:
        await echo(receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    note("lifespan began")
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    note("lifespan ended")
    await send({"type": "lifespan.shutdown.complete"})


async def echo(receive: Any, send: Any) -> None:
    """Answers with the request's body when all of it has come."""
    note("request began")
    body, more = b"", True
    try:
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
    except asyncio.CancelledError:
        for _ in range(TURNS):  # what a request does at its end may take its time
            await asyncio.sleep(0)
        note("request cancelled")
        raise
    length = str(len(body)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": body})
    note("request ended")


async def http_only(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError(f"only http, not {scope['type']}")
    await echo(receive, send)


async def broken_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise RuntimeError("no such pool")


async def refused_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no licence"})
