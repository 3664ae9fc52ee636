"""`python -m benchmarks.orm`: the ORM beside its peers, same tables, same core, same pool.

Each measurement is a process of its own, pinned to one core, with PostgreSQL on the other.
The order of the contenders changes with each repeat; what counts is the median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import harness, orm_report
from benchmarks.contenders import CONTENDERS, OPERATIONS
from benchmarks.database import Target, database
from benchmarks.latency import further_away

TASKS = 20
CONNECTIONS = 20
PACKAGES = [
    "django",
    "greenlet",
    "psycopg",
    "psycopg-pool",
    "asyncpg",
    "sqlalchemy",
    "tortoise-orm",
    "django-async-backend",
    "uvloop",
]
METHOD = (
    f"{TASKS} concurrent tasks, {CONNECTIONS} pooled connections that are open before the clock "
    "starts; a warm-up, its first result checked; then all tasks repeat the "
    "operation until the time is up. CPU is the process's own, all its threads, on one core; "
    "PostgreSQL, and for added latency a proxy that delays what the client sends, have the other. "
    "A new process per contender, repeat and latency, in an order that changes; medians. "
    "synchronous_commit is off; malloc's thresholds are fixed and equal for all."
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orm", description=__doc__)
    quick = "--quick" in sys.argv
    parser.add_argument("--quick", action="store_true", help="does everything run? (one minute)")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders, with commas")
    parser.add_argument("--ops", default=",".join(OPERATIONS), help="operations, with commas")
    parser.add_argument("--latency", default="0,5" if quick else "0,5,50", help="added ms")
    parser.add_argument("--repeats", type=int, default=1 if quick else 5)
    parser.add_argument("--seconds", type=float, default=0.1 if quick else 0.3)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json (full run: orm)")
    parser.add_argument("--report", action="store_true", help="print the saved results again")
    chosen = parser.parse_args()
    if not sys.argv[1:]:
        chosen.save = "orm"
    return chosen


def takes_part(contender: str, operation: str, latency: float) -> bool:
    """What would only take long: one thread for 20 tasks, and a sleep on top of a latency."""
    return not latency or (contender != "stock-tree" and operation != "sleep")


def measure(
    contender: str, operations: list[str], target: Target, options: argparse.Namespace
) -> list[dict[str, Any]]:
    spec = {
        "contender": contender,
        "operations": operations,
        "target": vars(target),
        "tasks": TASKS,
        "connections": CONNECTIONS,
        "seconds": options.seconds,
        "loop": options.loop,
    }
    samples: list[dict[str, Any]] = harness.run_worker("benchmarks.worker", spec, timeout=60)
    return samples


def run(options: argparse.Namespace, target: Target) -> dict[str, Any]:
    """Every sample, and what went wrong: a contender that fails is reported, not left out."""
    samples: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for latency in map(float, options.latency.split(",")):
        with further_away(target, latency) as front:
            for repeat, name in turns(options):
                where = {"latency_ms": latency, "repeat": repeat, "contender": name}
                wanted = [o for o in options.ops.split(",") if takes_part(name, o, latency)]
                if name in failures or not wanted:
                    continue
                print(f"+{latency:g} ms, repeat {repeat + 1}: {name}", file=sys.stderr)
                target.refill()
                try:
                    samples += [where | found for found in measure(name, wanted, front, options)]
                except harness.WorkerFailed as error:
                    failures[name] = str(error)
    return {"samples": samples, "failures": failures}


def turns(options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    for repeat in range(options.repeats):
        for name in harness.rotated(options.only.split(","), repeat):
            yield repeat, name


def main() -> int:
    options = arguments()
    if options.report:
        saved = json.loads((harness.RESULTS / f"{options.save or 'orm'}.json").read_text())
        print(orm_report.text(saved))
        return 0
    started = time.monotonic()
    result: dict[str, Any] = {
        "machine": harness.machine(),
        "versions": harness.versions(PACKAGES),
        "method": METHOD,
        "options": {key: vars(options)[key] for key in ("repeats", "seconds", "loop")},
    }
    with database() as target:
        result["versions"]["postgresql"] = target.server_version()
        result |= run(options, target)
    result["minutes"] = round((time.monotonic() - started) / 60, 1)
    result["medians"] = orm_report.medians(result["samples"])
    result["goals"] = [vars(goal) for goal in orm_report.goals(result["medians"])]
    print(orm_report.text(result))
    if options.save:
        print(f"written to {harness.save(options.save, result)}", file=sys.stderr)
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
