"""A loop that goes on after an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress


def finish_all(actions: Iterable[Callable[[], object]]) -> None:
    """Call each; one that fails keeps none of the others from its turn.

    :raises BaseException: what the first that fails raises, after the last one.
    """
    rest = iter(actions)
    try:
        for action in rest:
            action()
    except BaseException:
        with suppress(BaseException):
            finish_all(rest)
        raise
