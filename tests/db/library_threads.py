"""What the tests of threads share of which nobody tells us the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any

import pytest

from django_loom.db import serving

Run = Callable[..., Awaitable[Any]]


@contextmanager
def one_thread(copies_context: bool) -> Iterator[Run]:
    """Run functions in a thread that goes on to the next one; it ends after the block."""
    with ThreadPoolExecutor(1) as executor:

        async def run(function: Callable[..., Any], *args: Any) -> Any:
            serving.begin(asyncio.get_running_loop())
            context = copy_context() if copies_context else Context()
            return await asyncio.get_running_loop().run_in_executor(
                executor, context.run, function, *args
            )

        yield run


# psycopg warns of one that was dropped before it was opened in the server.
unused_server_side_cursor = pytest.mark.filterwarnings(
    "ignore:.* was deleted while still open:ResourceWarning"
)
each_thread = pytest.mark.parametrize(
    "copies_context", [True, False], ids=["with context", "without"]
)
