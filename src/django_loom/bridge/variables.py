"""Our context variables, all of which belong to the code whose context it is."""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_all: list[tuple[ContextVar[Any], Any]] = []


def context_variable(name: str, default: T) -> ContextVar[T]:
    """Make a context variable of ours."""
    variable: ContextVar[T] = ContextVar(name, default=default)
    _all.append((variable, default))
    return variable


def put_back(before: Context) -> None:
    """Set our variables in the present context to what they are in another."""
    for variable, default in _all:
        value = before.get(variable, default)
        if variable.get() is not value:
            variable.set(value)
