"""The garbage collector of a server process: set at its start, put back at its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from django_loom.asgi import get_asgi_application
from tests.loops import LoopRunner


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    before = gc.get_threshold()
    gc.unfreeze()  # CPython 3.12 has frozen objects of its own when it starts
    yield
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def as_kept(threshold: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return what this Python makes of a threshold: 3.14.0 to 3.14.4 ignore the third figure."""
    before = gc.get_threshold()
    gc.set_threshold(*threshold)
    try:
        return gc.get_threshold()
    finally:
        gc.set_threshold(*before)


async def life_of_a_server() -> tuple[tuple[int, int, int], int]:
    """Return the thresholds and the number of frozen objects while a server runs."""
    to_application: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    application: Any = get_asgi_application()
    serving = application({"type": "lifespan"}, to_application.get, to_server.put)
    task = asyncio.create_task(serving)
    await to_application.put({"type": "lifespan.startup"})
    assert (await to_server.get())["type"] == "lifespan.startup.complete"
    found = gc.get_threshold(), gc.get_freeze_count()
    await to_application.put({"type": "lifespan.shutdown"})
    assert (await to_server.get())["type"] == "lifespan.shutdown.complete"
    await task
    return found


def test_what_is_there_at_the_start_is_not_looked_at_again(loop_runner: LoopRunner) -> None:
    threshold, frozen = loop_runner(life_of_a_server)
    assert threshold == as_kept((20_000, 20, 50))
    assert frozen > 10_000  # Django alone has more


def test_the_setting_holds(loop_runner: LoopRunner) -> None:
    with override_settings(LOOM={"GC_THRESHOLD": (700, 10, 5)}):
        threshold, frozen = loop_runner(life_of_a_server)
    assert threshold == as_kept((700, 10, 5))
    assert frozen > 10_000


def test_none_leaves_the_collector_alone(loop_runner: LoopRunner) -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    with override_settings(LOOM={"GC_THRESHOLD": None}):
        assert loop_runner(life_of_a_server) == before
