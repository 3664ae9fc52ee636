"""Pools over the life of a server: opened at its start, swept meanwhile, closed at its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.db import connections

from django_loom.bridge import run_sync, suspend, unit_of_work
from django_loom.exceptions import PoolTimeout

from . import registry
from .pools import ConnectionPool
from .wrapper import LoomDatabaseMixin

logger = logging.getLogger("django_loom")

# Seconds between two looks at the pools: the first so that a small max_idle keeps the loop free.
_SHORTEST_SLEEP, _LONGEST_SLEEP = 1.0, 3600.0


async def open_pools(timeout: float = 10.0) -> dict[str, Exception | None]:
    """Open the pool of each database whose ENGINE is ours, and ``min_size`` connections.

    One at least, so that a wrong address is seen. All open at the same time. For a
    database that cannot be reached, a warning says so on the logger "django_loom";
    its next query tries again.

    :param timeout: seconds after which a database counts as out of reach.
    :return: for each alias what went wrong first, or None if all connections opened.
    :raises ImproperlyConfigured: an ENGINE cannot be imported, or OPTIONS["pool"] is wrong.
    """
    pools = [registry.pool(alias) for alias in connections if _is_ours(connections[alias])]
    async with asyncio.TaskGroup() as group:
        opening = {pool.alias: group.create_task(_open(pool, timeout)) for pool in pools}
    return {alias: task.result() for alias, task in opening.items()}


async def close_pools(timeout: float = 10.0) -> None:
    """Close every pool: idle connections now, used ones when they come back.

    Who holds one after that time is named in a warning on the logger "django_loom".

    :param timeout: seconds to wait for the connections that are in use.
    """
    storage: Any = connections._connections
    storage.thread_waits()
    pools = registry.pools()
    registry.close_all()
    async with asyncio.TaskGroup() as group:
        for pool in pools:
            group.create_task(_wait_until_unused(pool, timeout))


async def sweep_pools() -> None:
    """Close connections that were idle for longer than ``max_idle``, until cancelled.

    Without it they are closed only when others come and go. They are when their time
    has come, or up to a second later.
    """
    while True:
        pause = min((pool.close_stale() for pool in registry.pools()), default=_LONGEST_SLEEP)
        await asyncio.sleep(min(max(pause, _SHORTEST_SLEEP), _LONGEST_SLEEP))


def _is_ours(connection: Any) -> bool:
    return isinstance(connection, LoomDatabaseMixin)


async def _open(pool: ConnectionPool, timeout: float) -> Exception | None:
    number = max(1, pool.options.min_size)
    errors: list[Exception] = []

    async def open_one() -> None:
        try:
            with unit_of_work():  # the pool's, also where a thread waits for us
                await run_sync(_take_with_the_others, pool.alias)
        except Exception as error:
            errors.append(error)

    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(open_one())
    except TimeoutError:
        errors.append(TimeoutError(f"no answer within {timeout:g} s"))
    if not errors:
        return None
    logger.warning(
        "Database %r: %d of %d connections could be opened (%s). The next query tries again.",
        pool.alias,
        min(pool.statistics().idle, number),
        number,
        " ".join(str(errors[0]).split()),
    )
    return errors[0]


def _take_with_the_others(alias: str) -> None:
    """Open a connection, or take an idle one and hold it until nobody else can take it."""
    connections[alias].ensure_connection()
    suspend(asyncio.sleep(0))


async def _wait_until_unused(pool: ConnectionPool, timeout: float) -> None:
    try:
        with unit_of_work():
            await run_sync(pool.wait_until_unused, timeout)
    except PoolTimeout as error:
        logger.warning("%s", error)
