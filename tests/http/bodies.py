"""The body of a request in the hands of a test."""

from __future__ import annotations

import asyncio
from typing import Any

from django_loom.http.body import RequestBody
from django_loom.http.conf import HttpSettings
from tests.http.asgi import Connection, Message

NEVER, AT_ONCE = 3600.0, 0.0


class Body:
    """A RequestBody on a connection, and how often it told of the disconnect."""

    def __init__(self, *messages: Message, **settings: Any) -> None:
        self.connection = Connection(*messages)
        self.told = 0
        self.body = RequestBody(self.connection.receive, HttpSettings(**settings), self._tell)

    def _tell(self) -> None:
        self.told += 1

    def watch(self) -> None:
        """What the timer does."""
        self.body._begin_watch()

    def read(self) -> asyncio.Task[bytes]:
        return asyncio.create_task(self.body.read_chunk())


async def settle() -> None:
    """Let everything that can run do so: no test here has a longer chain of callbacks."""
    for _ in range(10):
        await asyncio.sleep(0)


async def others_end() -> None:
    """No task is left but the caller's."""
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
