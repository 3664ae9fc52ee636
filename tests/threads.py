"""Notes each piece of work that is given to a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django_loom.offload.workers import WorkerThreads


@contextmanager
def noting_threads() -> Iterator[list[Any]]:
    """The list of what threads were started for, or executors were given, in the block."""
    noted: list[Any] = []
    start = threading.Thread.start

    def noting_start(thread: threading.Thread) -> None:
        noted.append(thread)
        start(thread)

    def noting(submit: Any) -> Any:
        def noting_submit(executor: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            noted.append((fn, args))
            return submit(executor, fn, *args, **kwargs)

        return noting_submit

    with (
        patch.object(threading.Thread, "start", noting_start),
        patch.object(ThreadPoolExecutor, "submit", noting(ThreadPoolExecutor.submit)),
        patch.object(WorkerThreads, "submit", noting(WorkerThreads.submit)),
    ):
        yield noted
