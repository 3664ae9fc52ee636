"""Large bodies and clients that leave, on four servers: memory, another client's p99, times.

Run it with `python -m benchmarks.http_streams`, on Linux.
"""

from __future__ import annotations

import argparse

import psycopg

from benchmarks.harness import conditions, machine, markdown, save, versions
from benchmarks.stream_measures import HANDLERS, Bench
from tests.http.servers.conftest import DATABASE, make_table
from tests.http.servers.kinds import KINDS
from tests.services import private_postgres

METHOD = """\
Each figure from a server of its own, with one worker, pinned to one core; clients and database on
the other. Memory is the kernel's peak of the resident set (VmHWM, reset at the start) over what
was resident at the start, summed over the server's processes. Upload: a form with 200 MiB, made
on the fly, to a sync view in a thread, whose upload handler takes 5 ms for each 512 KiB; "ahead"
is how much of it the handler had not seen when the client had handed over all. Downloads: two
clients at once fetch a sparse file of 512 MiB as fast as it comes, while a third asks for a page
of 5 bytes on a keep-alive connection, one request after the other; "alone" is that third client
without the two, just before, and shows what the rest of the machine's work costs. Leaving: time
from the close of the client's socket until the view's `finally` ran, and until pg_stat_activity
no longer shows its query (looked at without a pause). Medians of the repeats; of leaving, the
median and the worst of all."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--leaves", type=int, default=20)
    parser.add_argument("--server", choices=KINDS, action="append", dest="servers")
    options = parser.parse_args()
    facts = machine()
    kinds = [KINDS[name] for name in options.servers or KINDS]
    with private_postgres() as postgres:
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(postgres.dsn, dbname=DATABASE) as connection:
            make_table(connection)
        bench = Bench(postgres, options.repeats, options.leaves)
        bodies = [bench.bodies(kind, handler) for kind in kinds for handler in HANDLERS]
        leaving = [row for kind in kinds for row in bench.leaving(kind)]
    result = {
        "machine": facts,
        "versions": versions(["django", *KINDS, "uvloop"]),
        "options": {"repeats": options.repeats, "leaves": options.leaves},
        "method": METHOD,
        "bodies": bodies,
        "leaving": leaving,
    }
    path = save("http_streams", result)
    for rows in (bodies, leaving):
        names = list(dict.fromkeys(name for row in rows for name in row))
        print(markdown(names, [[row.get(name, "") for name in names] for row in rows]), end="\n\n")
    print(f"{conditions(result)}\nwritten to {path.name}")


if __name__ == "__main__":
    main()
