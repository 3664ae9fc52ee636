"""The database, further away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.database import Target
from benchmarks.harness import cores
from django_loom.lab.servers.proxies import delayed


@contextmanager
def further_away(target: Target, milliseconds: float) -> Iterator[Target]:
    """The same database with so much latency added, by a proxy on the database's core.

    A proxy rather than `pg_sleep()`, because the statements then stay byte for byte what each
    contender sends, and because every round trip pays: a contender that wraps a read in BEGIN and
    ROLLBACK pays three times, as it does over a real network.
    """
    if not milliseconds:
        yield target
        return
    chosen = cores()
    core = chosen[1] if chosen else None
    with delayed(target.host, target.port, milliseconds, core) as port:
        yield replace(target, host="127.0.0.1", port=port)
