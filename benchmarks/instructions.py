"""`python -m benchmarks.instructions`: instructions per request and query, under callgrind.

What a shared machine does beside it changes no count. `--base` names a Git revision whose
package is counted beside the one of the working tree.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.database import Target, database
from benchmarks.http import tables
from benchmarks.http.__main__ import PACKAGES
from benchmarks.http.peers import PEERS, specification

REQUESTS = ("hello", "orm", "list", "template", "session")
CALLS = ("aget", "atomic")
QUERIES = ("get", "raw")
FEW, MANY = 40, 240
METHOD = (
    f"Each count is the difference of runs with {MANY} and with {FEW} requests or queries, by "
    f"{MANY - FEW}, so that start and imports cancel out; instructions as valgrind's callgrind "
    "counts them, in user space. Of each length the least of the repeats counts: whether an answer "
    "of the database is there at once, or has to be waited for, is chance. Requests: the handler "
    "in one process, asyncio, no server, async views and the middleware of `startproject`. "
    "Calls: outside a request, one after the other on asyncio: `aget(pk=…)`, and two writes in an "
    "`async with atomic()`. Queries: no loop; `get` is `get(pk=…)`, `raw` is a cursor with "
    "`SELECT 1`; stock is Django's own engine."
)
STOCK, BASE, NOW = "stock", "before", "now"
STOCK_DJANGO = {
    "engine": "django.db.backends.postgresql",
    "apps": [],
    "pool": None,
    "handler": "django.core.asgi",
}


class ValgrindMissing(Exception):
    """Instructions are counted by valgrind, which is not installed."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--base", metavar="REVISION", help="count this revision's package too")
    cases = ",".join((*REQUESTS, *CALLS, *QUERIES))
    parser.add_argument("--cases", default=cases, help="with commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="write results/instructions.json")
    return parser.parse_args()


def unpack(revision: str, folder: Path) -> Path:
    """The package as it was in a revision; returns what goes to PYTHONPATH."""
    command = ["git", "archive", revision, "src"]
    archive = subprocess.run(command, cwd=harness.ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder / "src"


def run(spec: dict[str, Any], source: Path, number: int) -> int:
    """All instructions of one worker."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "callgrind.out")
        worker = [sys.executable, "-m", "benchmarks.instructions_worker"]
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", *worker],
            input=json.dumps({**spec, "number": number, "core": None}),
            capture_output=True,
            text=True,
            cwd=harness.ROOT,
            env={**os.environ, **harness.EQUAL_CONDITIONS, "PYTHONPATH": str(source)},
            check=False,
        )
        if done.returncode:
            raise harness.WorkerFailed(done.stderr[-2000:])
        totals = [line for line in output.read_text().splitlines() if line.startswith("totals:")]
        return int(totals[-1].split()[1])


def measure(
    case: str, target: Target, cookie: str, sources: dict[str, Path], repeats: int
) -> dict[str, float]:
    """Instructions of one request or query of a case, by whose package it is."""
    spec = {
        **specification(PEERS["loom"], 8, None, vars(target)),
        "case": case,
        "cookie": cookie if case == "session" else "",
    }
    specs = dict.fromkeys(sources, {**spec, "pool": None} if case in QUERIES else spec)
    if case in QUERIES:
        specs[STOCK] = {**spec, **STOCK_DJANGO}
        sources = {**sources, STOCK: sources[NOW]}
    totals: dict[tuple[str, int], list[int]] = {}
    for _ in range(repeats):
        for name, own in specs.items():
            for number in (FEW, MANY):
                totals.setdefault((name, number), []).append(run(own, sources[name], number))
    return {
        name: (min(totals[name, MANY]) - min(totals[name, FEW])) / (MANY - FEW) for name in specs
    }


def text(result: dict[str, Any]) -> str:
    rows = []
    for case, found in result["found"].items():
        first = found.get(BASE, found[NOW])
        cells = [f"{found[name]:,.0f}" if name in found else "" for name in (STOCK, BASE, NOW)]
        stock = f"{found[NOW] / found[STOCK] - 1:+.1%}" if STOCK in found else ""
        rows.append([case, *cells, f"{found[NOW] / first - 1:+.1%}", stock])
    header = ["", STOCK, BASE, NOW, "now / before", "now / stock"]
    return f"{harness.conditions(result)}\n\n{harness.markdown(header, rows)}"


def main() -> int:
    options = arguments()
    if shutil.which("valgrind") is None:
        raise ValgrindMissing("valgrind is not on the path: apt-get install valgrind")
    sources = {NOW: harness.ROOT / "src"}
    with tempfile.TemporaryDirectory() as folder, database() as target:
        if options.base:
            sources = {BASE: unpack(options.base, Path(folder)), **sources}
        cookie = tables.fill(target)
        found = {}
        for case in options.cases.split(","):
            found[case] = measure(case, target, cookie, sources, options.repeats)
            print(case, found[case], file=sys.stderr, flush=True)
    result = {
        "machine": harness.machine(),
        "versions": harness.versions(PACKAGES),
        "method": METHOD,
        "options": {"base": options.base, "repeats": options.repeats},
        "found": found,
    }
    print(text(result))
    if options.save:
        print(f"written to {harness.save('instructions', result)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
