"""What the tests of execute wrappers and query logs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Recorder:
    def __init__(self) -> None:
        self.queries: list[str] = []

    def __call__(self, execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        self.queries.append(sql)
        return execute(sql, *args)


def wrapper_that_notes(order: list[str], name: str) -> Callable[..., Any]:
    def wrapper(execute: Callable[..., Any], *args: Any) -> Any:
        order.append(name)
        return execute(*args)

    return wrapper
