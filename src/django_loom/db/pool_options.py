"""``DATABASES[alias]["OPTIONS"]["pool"]``, validated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from django_loom.exceptions import PoolOptionError


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The pool's options; names and units are those of psycopg_pool.

    The pool opens a connection when somebody needs it, and looks for connections to
    close when one is given back: it has no thread and no timer. A server opens
    ``min_size`` at its start, and looks regularly; see ``django_loom.db.lifespan``.

    :param min_size: connections that the pool keeps, however long they are idle.
    :param max_size: connections that the pool has at most.
    :param timeout: seconds that a caller waits for a connection at most.
    :param max_waiting: callers that may wait at the same time; 0 for no limit.
    :param max_lifetime: seconds after which a connection is replaced.
    :param max_idle: seconds after which an idle connection is closed.
    :param per_unit: pin each connection to the unit of work that takes it, until its end,
        as synchronous Django does.
    """

    min_size: int = 0
    max_size: int = 20
    timeout: float = 30.0
    max_waiting: int = 10_000
    max_lifetime: float = 3600.0
    max_idle: float = 600.0
    per_unit: bool = False

    @classmethod
    def from_settings(cls, alias: str, value: object) -> PoolOptions:
        """Read the value of ``OPTIONS["pool"]``: a dictionary, or true or false.

        :raises PoolOptionError: naming the key that is wrong, and what it takes.
        """
        where = f"DATABASES[{alias!r}]['OPTIONS']['pool']"
        if value is None or isinstance(value, bool):
            return cls()
        if not isinstance(value, Mapping):
            raise PoolOptionError(f"{where} must be a dictionary, True or False, not {value!r}.")
        known = {field.name: type(field.default) for field in fields(cls)}
        for key, given in value.items():
            if key not in known:
                raise PoolOptionError(f"{where} has no key {key!r}. It takes {', '.join(known)}.")
            check = _check_bool if known[key] is bool else _check_number
            check(f"{where}[{key!r}]", given, known[key])
        options = cls(**value)
        if options.max_size < max(1, options.min_size):
            raise PoolOptionError(
                f"{where}['max_size'] must be at least 1 and at least 'min_size' "
                f"({options.min_size}), not {options.max_size}."
            )
        return options


def _check_bool(where: str, value: Any, expected: type) -> None:
    if not isinstance(value, expected):
        raise PoolOptionError(f"{where} must be True or False, not {value!r}.")


def _check_number(where: str, value: Any, expected: type) -> None:
    accepted = (int,) if expected is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted) or not value >= 0:
        kind = "a whole number" if expected is int else "a number of seconds"
        raise PoolOptionError(f"{where} must be {kind}, 0 or more, not {value!r}.")
    if isinstance(value, float) and math.isnan(value):
        raise PoolOptionError(f"{where} must be a number of seconds, not {value!r}.")
