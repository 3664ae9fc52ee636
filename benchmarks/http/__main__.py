"""`python -m benchmarks.http`: Django under several servers, and its peers, over HTTP.

Each server is a process on a core of its own; the load and PostgreSQL have the other. The order of
the contenders changes with each repeat; what counts is the median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from benchmarks import harness
from benchmarks.database import Target, database
from benchmarks.http import crowd, figures, goals, report
from benchmarks.http.peers import PEERS, ROUTES, SLEEPERS
from benchmarks.http.points import TURNS
from benchmarks.http.rounds import Bench

SLEEP = "sleep"
PACKAGES = [
    "django",
    "greenlet",
    "psycopg",
    "psycopg-pool",
    "uvicorn",
    "httptools",
    "uvloop",
    "gunicorn",
    "gunicorn-h1c",
    "fastapi",
    "sqlalchemy",
    "asyncpg",
    "aiohttp",
    "django-async-backend",
]
METHOD = (
    "The server is one process (gunicorn: one worker) on one core; load generator and PostgreSQL "
    "have the other. 32 clients with keep-alive unless said, each with one request under way; a "
    "warm-up, then the requests sent within the window count, if their answer is 2xx. The seven "
    "middleware classes of startproject, DEBUG off, no access log; uvloop wherever there is a "
    "loop. Each route's answer is compared with what it must be before it is measured. In each "
    "repeat a new process per contender. Where its core is the limit they take turns, a short "
    "window each, a few times over, of which the fastest counts: the machine's other guests slow "
    "down what they may for parts of a second; on wait and gather each has one window, by itself. "
    "The order changes; medians of the repeats. synchronous_commit is "
    "off; malloc's thresholds are fixed and equal for all. CPU per request: the share of its core "
    f"that the server used, by the rate. Memory: RSS of the server with {SLEEPERS:,} connections, "
    "before they ask and while they wait."
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    quick = "--quick" in sys.argv
    parser.add_argument("--quick", action="store_true", help="does everything run? (4 minutes)")
    parser.add_argument("--only", default=",".join(PEERS), help="contenders, with commas")
    parser.add_argument("--routes", default=",".join([*ROUTES, SLEEP]), help="with commas")
    parser.add_argument("--repeats", type=int, default=1 if quick else 5)
    parser.add_argument("--memory-repeats", type=int, default=1 if quick else 2)
    parser.add_argument("--seconds", type=float, default=0.8 if quick else 1.6)
    parser.add_argument("--sleepers", type=int, default=SLEEPERS)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json (full run: http)")
    parser.add_argument("--report", action="store_true", help="print the saved results again")
    chosen = parser.parse_args()
    if not sys.argv[1:]:
        chosen.save = "http"
    return chosen


def order(options: argparse.Namespace, repeat: int) -> list[str]:
    return harness.rotated(options.only.split(","), repeat)


def run(options: argparse.Namespace, target: Target) -> dict[str, Any]:
    """Every sample, and what went wrong: a contender that fails is reported, not left out."""
    wanted = options.routes.split(",")
    bench = Bench(target, options.seconds, [route for route in ROUTES if route in wanted])
    threaded = [PEERS[name].threads_of or name for name in options.only.split(",")]
    for name in dict.fromkeys(name for name in threaded if PEERS[name].counts_threads):
        bench.look_for_threads(name)
    for repeat in range(options.repeats):
        bench.measure_alone(repeat)
        bench.measure(order(options, repeat), repeat)
    for repeat in range(options.memory_repeats if SLEEP in wanted else 0):
        for name in order(options, repeat):
            bench.measure_memory(name, repeat, options.sleepers)
    return bench.result()


def main() -> int:
    options = arguments()
    if options.report:
        saved = json.loads((harness.RESULTS / f"{options.save or 'http'}.json").read_text())
        print(report.text(saved))
        return 0
    if sys.platform != "linux":
        sys.exit("this benchmark reads CPU time and memory from /proc: it needs Linux")
    started = time.monotonic()
    crowd.allow_files(options.sleepers)
    result: dict[str, Any] = {
        "machine": harness.machine(),
        "versions": harness.versions(PACKAGES),
        "method": METHOD,
        "options": {key: vars(options)[key] for key in ("repeats", "seconds")} | {"turns": TURNS},
    }
    with database() as target:
        result["versions"]["postgresql"] = target.server_version()
        result |= run(options, target)
    result["minutes"] = round((time.monotonic() - started) / 60, 1)
    result["medians"] = figures.medians(result["samples"])
    result["memory"] = figures.memory_medians(result["memory_samples"])
    result["alone"] = figures.alone_medians(result["alone_samples"])
    result["goals"] = [vars(goal) for goal in goals.goals(result["medians"], result["memory"])]
    print(report.text(result))
    if options.save:
        print(f"written to {harness.save(options.save, result)}", file=sys.stderr)
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
