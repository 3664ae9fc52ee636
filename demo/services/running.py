"""The services in a test: on the test's own loop, each on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp.test_utils import TestServer
from django.test import override_settings

from .application import STATE, application
from .behaviour import Behaviour
from .contents import CONTENTS


@asynccontextmanager
async def services(**behaviours: Behaviour) -> AsyncIterator[dict[str, TestServer]]:
    """Run both services, and let the site ask them.

    :param behaviours: those that a service is to have, by its name; others answer at once.
    """
    async with AsyncExitStack() as stack:
        servers = {}
        for name, contents in CONTENTS.items():
            service = application(contents)
            service[STATE]["behaviour"] = behaviours.get(name, Behaviour(delay=0))
            servers[name] = await stack.enter_async_context(TestServer(service))
        addresses = {name: str(server.make_url("")).rstrip("/") for name, server in servers.items()}
        with override_settings(SERVICES=addresses):
            yield servers
