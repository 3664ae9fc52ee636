"""How the application of ``loom serve`` begins and ends: ASGI's lifespan protocol."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from uvicorn.lifespan.on import LifespanOn

if TYPE_CHECKING:
    from .server import Config

# Seconds that requests get to end which were cancelled after the grace time, and again that
# the process gets to end when all else has.
CANCEL_TIMEOUT = 5.0

logger = logging.getLogger("django_loom")


class Lifespan(LifespanOn):
    """Ends the application when its requests have ended, those that were cancelled too."""

    config: Config

    async def shutdown(self) -> None:
        """Wait for what the server has just cancelled, then for the application to stop."""
        cancelled = [task for task in asyncio.all_tasks() if task.cancelling()]
        if cancelled:
            await asyncio.wait(cancelled, timeout=CANCEL_TIMEOUT)
        await super().shutdown()
        if self.config.owns_process:
            _end_soon()


def _end_soon() -> None:
    """Let no thread that blocks, nor a task that heeds no cancellation, keep the process."""
    timer = threading.Timer(CANCEL_TIMEOUT, _end_now)
    timer.daemon = True
    timer.start()


def _end_now() -> None:
    others = [thread for thread in threading.enumerate() if not thread.daemon]
    others.remove(threading.main_thread())
    logger.warning(
        "Ending by force, for this still runs %g s after the shutdown: %s",
        CANCEL_TIMEOUT,
        ", ".join(thread.name for thread in others) or "a task",
    )
    os._exit(0)


class LifespanRequired:
    """Says in a line what is wrong with an application that does not know the protocol.

    Such a one raises before it receives anything: ASGI lifespan protocol, "Scope".
    """

    def __init__(self, app: Callable[..., Awaitable[None]], name: str) -> None:
        self._app = app
        self._name = name

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._run_lifespan(scope, receive, send)
        return self._app(scope, receive, send)

    async def _run_lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        received = False

        async def note_and_receive() -> Any:
            nonlocal received
            received = True
            return await receive()

        try:
            await self._app(scope, note_and_receive, send)
        except Exception as error:
            if received:
                raise
            message = (
                f"{self._name} does not speak the lifespan protocol ({error}). Make it with "
                "django_loom.asgi.get_asgi_application(); what is put around that has to pass "
                "scopes of the type 'lifespan' on."
            )
            await send({"type": "lifespan.startup.failed", "message": message})
