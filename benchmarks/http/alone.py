"""What plain Django takes of a core without a server: WSGI, called in this process.

One request after the other, on a persistent connection, with Python's garbage collector set as
django-loom sets it. A server on one core answers no more requests than this leaves room for,
whatever its handler costs, unless the ORM, middleware and views themselves become cheaper.
"""

from __future__ import annotations

import json
import sys
from time import process_time
from typing import Any

from benchmarks import harness
from benchmarks.http import tables
from benchmarks.http.layers import Turn, wsgi_turns
from benchmarks.http.peers import PEERS, specification
from benchmarks.http.points import TURNS
from benchmarks.http.serve import django_application, prepare

ROUTES = ("hello", "orm", "list", "template", "session")  # what waits for the database waits alone
PEER = "gunicorn-threads-gc"
TIMEOUT = 120.0


def measure(
    target: dict[str, Any], cookie: str, expected: dict[str, Any], seconds: float
) -> dict[str, float]:
    """CPU µs per request, for each route that is to give the expected answer.

    :raises WorkerFailed: the process ended without a result, after a wrong answer for instance.
    """
    spec = specification(PEERS[PEER], 1, 1, target)
    more = {"cookie": cookie, "expected": expected, "seconds": seconds}
    found: dict[str, float] = harness.run_worker("benchmarks.http.alone", {**spec, **more}, TIMEOUT)
    return found


def cost(turn: Turn, seconds: float) -> float:
    """CPU µs per request, of as many as take some seconds of CPU time."""
    count, started = 0, process_time()
    while (took := process_time() - started) < seconds:
        turn(1)
        count += 1
    return took / count * 1e6


def main() -> None:
    spec = harness.read_spec()
    application = django_application(spec)
    prepare(spec)
    found = {}
    for route, answer in spec["expected"].items():
        cookie = spec["cookie"] if route == "session" else ""
        turn = wsgi_turns(application, PATH_INFO=f"/{route}", HTTP_COOKIE=cookie)
        tables.compare(route, turn(1), answer)
        cost(turn, spec["seconds"] / 2)  # caches fill, the interpreter specialises
        # The cheapest counts, as with servers the fastest window does.
        turns = (cost(turn, spec["seconds"] / TURNS) for _ in range(TURNS))
        found[route] = round(min(turns), 1)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
