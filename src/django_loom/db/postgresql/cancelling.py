"""End a query in the server, for a caller that is gone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from psycopg import capabilities, errors, generators, pq
from psycopg.waiting import wait_async, wait_conn, wait_conn_async

from django_loom.offload import executor

# Seconds after which a query that still runs is cancelled again, at first.
PATIENCE = 0.05
# Seconds between the requests of a thread, and for each of them.
PATIENCES_IN_THREAD = 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 0.0
SECONDS_OF_REQUEST = 2.0


async def end_query(pgconn: pq.abc.PGconn, timeout: float) -> None:
    """Cancel the query that runs, and read what still comes of it.

    The connection is closed if that takes too long, or leaves it in use, as in the
    midst of a copy or of a pipeline.
    """
    try:
        async with asyncio.timeout(timeout):
            await _cancel_until_it_ends(pgconn)
    except (TimeoutError, OSError, errors.Error):
        pass
    finally:
        if pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            # The server or its network is slow → its query would run to its end for nobody →
            # it is asked some more times, beside us.
            cancel_in_thread(pgconn)
            pgconn.finish()


async def _cancel_until_it_ends(pgconn: pq.abc.PGconn) -> None:
    """Cancel, and cancel again: a server drops what comes before it has begun a query.

    Could a request hit the connection's next query? No: the server signals its
    backend before it closes the cancelling connection, for which this waits, and a
    backend drops signals that come between queries.
    """
    patience = PATIENCE
    while True:
        await _cancel(pgconn)
        if pgconn.pipeline_status:
            return  # it would answer at the pipeline's end only
        try:
            async with asyncio.timeout(patience):
                # Not the generator that was interrupted: it may have more to send, as
                # the query after a BEGIN.
                await wait_async(generators.execute(pgconn), pgconn.socket, 0.1)
            return
        except TimeoutError:
            patience *= 2


async def _cancel(pgconn: pq.abc.PGconn) -> None:
    if capabilities.has_cancel_safe():
        request = pgconn.cancel_conn()
        request.start()
        await wait_conn_async(generators.cancel(request), 0.1)
    else:
        request_in_c = executor("cancellations").submit(pgconn.get_cancel().cancel)
        await asyncio.wrap_future(request_in_c)  # whose caller may leave it alone


def cancel_in_thread(pgconn: pq.abc.PGconn) -> None:
    """Cancel from where nothing can be awaited, and where the connection is closed next.

    A server drops a request that comes before it has begun the query, which then runs to its
    end for nobody → there are some more. Nobody answers whether one was needed; they can't
    hit another query, as this connection has no next one.
    """
    if pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    with suppress(RuntimeError, errors.Error):  # the interpreter is ending
        job = _requests(pgconn)
        threading.Thread(target=job, name="django_loom cancel", daemon=True).start()


def _requests(pgconn: pq.abc.PGconn) -> Callable[[], None]:
    """Return what sends the requests; it does not need the connection itself any more.

    Older versions of libpq wait for the server in C code, with the interpreter's lock: a
    network that stalls would stall the process → there is one request only.
    """
    if not capabilities.has_cancel_safe():
        old_request = pgconn.get_cancel()

        def send_once() -> None:
            with suppress(errors.Error):
                old_request.cancel()

        return send_once
    request = pgconn.cancel_conn()

    def send() -> None:
        for patience in PATIENCES_IN_THREAD:
            with suppress(errors.Error):
                request.start()
                wait_conn(generators.cancel(request), 0.1, SECONDS_OF_REQUEST)
            request.reset()
            time.sleep(patience)

    return send


def closed_pgconn() -> pq.abc.PGconn:
    """Return what a connection has that is closed."""
    pgconn = pq.PGconn.connect_start(b"nowhere")  # no connection string: it fails at once
    pgconn.finish()
    return pgconn
