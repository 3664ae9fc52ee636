"""Cancel 50,000 tasks at random moments on each kind of loop, and look for damage.

`make fuzz`, or `python -m benchmarks.cancel_fuzz --help`. Each task has a marker of its own in
all that it writes, asks for and may read. The run fails (exit status 1) if a task ever read
another's marker, if a transaction is there in part, if a committed one is missing or a rolled
back one is there, if a connection is left in a transaction or in use, or if the server still
runs a query whose task is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.harness import conditions, loop_factory, machine, markdown, save, versions
from tests.services import postgres

LOOPS = ("asyncio", "uvloop")
METHOD = (
    "30 tasks on a pool of 10 connections choose at random among 41 operations: reads, sleeping "
    "queries, server-side cursors; sync, async and nested transactions, tasks and threads inside "
    "transactions, timeouts; requests to views and streams on the loop, in threads and async, "
    "whose clients leave; thread locals and attributes of the connection object; a tenant in "
    "search_path, locks, channels and temporary tables of the session, pins, autocommit off; "
    "generators, iterators and calls that are left half-way; forced garbage collections. A "
    "random task is cancelled after a random number of turns of the loop or a random time, a "
    "fifth of them twice. After each 500 cancellations all tasks are ended, and the pool, its "
    "sessions, the tables, pg_stat_activity and pg_locks are checked."
)


@contextmanager
def database() -> Iterator[str]:
    """The test project's database on a server of its own; the address of the server."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from tests.databases import postgres_databases

    with postgres() as server, postgres_databases(server, ["default", "other"]):
        yield server.dsn


def fuzz(loop: str, seed: int, cancellations: int, admin: str, seconds: float) -> dict[str, Any]:
    """One run on one kind of loop; what it did, and the violations that it found."""
    from django.db import connections

    from benchmarks.fuzz.rounds import Fuzz

    run = Fuzz(seed, cancellations, admin, time.monotonic() + seconds)
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        figures = runner.run(run.run())
    connections.close_all()
    return {"loop": loop, **figures}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cancellations", type=int, default=50_000, help="on each kind of loop")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=3600, help="at most, on each kind of loop")
    parser.add_argument("--loop", choices=LOOPS, action="append", dest="loops")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    # It warns of each executemany() that is cut short, as these are here by design.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    runs = []
    with database() as admin:
        for loop in options.loops or LOOPS:
            runs.append(fuzz(loop, options.seed, options.cancellations, admin, options.seconds))
            print(f"{loop}: {runs[-1]['cancellations']} cancellations", flush=True)
    return report(runs, options)


def report(runs: list[dict[str, Any]], options: argparse.Namespace) -> int:
    result = {
        "machine": machine(),
        "versions": versions(["django", "psycopg", "greenlet", "uvloop"]),
        "options": {
            "seed": options.seed,
            "cancellations per loop": options.cancellations,
            "seconds per loop": options.seconds,
        },
        "method": METHOD,
        "runs": runs,
    }
    path = save("cancel_fuzz", result)
    names = [name for name in runs[0] if name not in ("loop", "violations", "seed")]
    rows = [[name.replace("_", " "), *(run[name] for run in runs)] for name in names]
    print(markdown(["", *(run["loop"] for run in runs)], rows))
    print(f"\n{conditions(result)}\nwritten to {path.name}")
    failed = [
        run for run in runs if run["violations"] or run["cancellations"] < options.cancellations
    ]
    for run in failed:
        print(
            f"\nFAILED on {run['loop']}, seed {run['seed']}: {run['cancellations']} cancellations"
        )
        print("\n".join(run["violations"]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
