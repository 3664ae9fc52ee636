"""Cancel a query in the server, for a caller that is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from contextlib import suppress

from psycopg import capabilities, errors, generators, pq
from psycopg.waiting import wait_conn_async

_requests: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly


async def cancel(pgconn: pq.abc.PGconn, timeout: float) -> None:
    """Return when the server has been told, or cannot be.

    The request is a task of its own: a second cancellation of the caller, or the end
    of the connection, must not stop the first one on its way. (AnyIO's cancel scopes
    cancel again in each turn of the loop.)

    Could it hit the connection's next query? No: the server signals its backend
    before it closes the cancelling connection, for which this waits, and a backend
    drops signals that come between queries.
    """
    request = asyncio.ensure_future(_send(_request(pgconn, timeout)))
    _requests.add(request)
    request.add_done_callback(_requests.discard)
    await asyncio.shield(request)


def _request(pgconn: pq.abc.PGconn, timeout: float) -> Awaitable[None]:
    if not capabilities.has_cancel_safe():
        return asyncio.to_thread(pgconn.get_cancel().cancel)
    request = pgconn.cancel_conn()
    request.start()  # now, as pgconn may be closed in the next moment
    return wait_conn_async(generators.cancel(request), 0.1, timeout)


async def _send(request: Awaitable[None]) -> None:
    with suppress(errors.Error):  # whoever waits for the query's end finds out
        await request


def cancel_in_thread(pgconn: pq.abc.PGconn) -> None:
    """Tell the server from where nothing can be awaited."""
    request = pgconn.get_cancel()

    def send() -> None:
        with suppress(errors.Error):
            request.cancel()

    with suppress(RuntimeError):  # the interpreter is ending
        threading.Thread(target=send, name="django_loom cancel", daemon=True).start()
