"""What the tests of units have in common."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_loom.bridge import unit_of_work


def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a new thread, which belongs to no unit."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function).result()


def in_another_unit(function: Callable[[], Any]) -> Any:
    """Run a function in a unit of its own."""
    with unit_of_work():
        return function()


def read(local: Any) -> Any:
    """Return the value that a local has here, if any."""
    return getattr(local, "x", None)


def check_values_of_unit_and_thread(local: Any) -> None:
    """Check that a unit has its own values of a local, and so has the thread."""
    local.x = "thread"
    with unit_of_work():
        assert read(local) is None
        local.x = "unit"
        assert in_another_unit(lambda: read(local)) is None
        assert in_thread(lambda: read(local)) is None
        assert read(local) == "unit"
        del local.x
        with pytest.raises(AttributeError):
            _ = local.x
    assert read(local) == "thread"
    assert in_thread(lambda: read(local)) is None
