"""`python -m benchmarks.pauses`: how long the garbage collector stops a loop on which many wait.

The route `wait` of `benchmarks.http` (a query of 100 ms, a pool of 100), called in one process
without a server; once as it is, once without the release of requests at their end. A process for
each repeat, in turns; medians.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from statistics import median
from typing import Any

from benchmarks import harness
from benchmarks.database import database
from benchmarks.http import tables
from benchmarks.http.peers import PEERS, specification

POOL = 100
ROWS = {"requests are released": True, "left to the collector": False}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pauses", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=8, help="of each client")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    with database() as target:
        tables.fill(target)
        spec: dict[str, Any] = specification(PEERS["loom"], POOL, None, vars(target))
        spec |= {"clients": options.clients, "requests": options.requests}
        for _ in range(options.repeats):
            for row, release in ROWS.items():
                worker = harness.run_worker(
                    "benchmarks.pauses_worker", {**spec, "release": release}, timeout=300
                )
                found[row].append(worker)
    columns = list(found["left to the collector"][0])
    print("".join(f"{name:>24}" for name in ["", *columns]))
    for row, samples in found.items():
        figures = [median(sample[name] for sample in samples) for name in columns]
        print(f"{row:>24}" + "".join(f"{figure:24.2f}" for figure in figures))


if __name__ == "__main__":
    main()
