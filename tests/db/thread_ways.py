"""The ways in which async code runs a function in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

from asgiref.sync import sync_to_async

from django_loom.offload import Executor
from tests.testapp.models import Author

Way = Callable[..., Awaitable[Any]]


async def in_sync_to_async(function: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(function)(*args)


async def in_any_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(function, thread_sensitive=False)(*args)


async def in_executor(function: Callable[..., Any], *args: Any) -> Any:
    return await Executor("left", 1).run(function, *args)


async def in_library_thread(function: Callable[..., Any], *args: Any) -> Any:
    """As libraries do that have threads of their own, of which nobody tells us the end."""
    run = copy_context().run
    return await asyncio.get_running_loop().run_in_executor(None, run, function, *args)


def names(alias: str) -> list[str]:
    return sorted(Author.objects.using(alias).values_list("name", flat=True))
