"""What the tests of units have in common."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django_loom.bridge import unit_of_work


def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a new thread, which belongs to no unit."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function).result()


def in_another_unit(function: Callable[[], Any]) -> Any:
    """Run a function in a unit of its own."""
    with unit_of_work():
        return function()
