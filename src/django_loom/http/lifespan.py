"""The ASGI lifespan protocol: what begins and ends with the server process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

Message = dict[str, Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]

logger = logging.getLogger("django_loom")


@asynccontextmanager
async def no_lifespan(application: Any) -> AsyncIterator[None]:
    """Begin and end nothing of the user's."""
    yield


@asynccontextmanager
async def in_order(
    lifespans: Iterable[Lifespan], application: Any
) -> AsyncIterator[dict[str, Any]]:
    """Begin one after the other, and end them the other way round; gives what they give."""
    given: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        for lifespan in lifespans:
            begun = await stack.enter_async_context(lifespan(application))
            given.update(begun or {})
        yield given


async def serve_lifespan(
    context: AbstractAsyncContextManager[Mapping[str, Any] | None],
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Enter a context when the server starts, and leave it when it stops.

    What the context gives is put into ``scope["state"]``, from where the server
    hands it on with each request. Source: ASGI specification, "Lifespan Protocol".
    """
    await receive()  # lifespan.startup
    state = "startup"
    try:
        async with context as given:
            if given:
                scope.setdefault("state", {}).update(given)
            await send({"type": "lifespan.startup.complete"})
            state = "shutdown"
            await receive()  # lifespan.shutdown
    except Exception as error:
        logger.exception("The application's %s failed", state)
        await send({"type": f"lifespan.{state}.failed", "message": str(error)})
    else:
        await send({"type": "lifespan.shutdown.complete"})
