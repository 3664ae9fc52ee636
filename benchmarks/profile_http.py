"""`python -m benchmarks.profile_http`: what each microsecond of a request goes to."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.database import Target, database
from benchmarks.http import tables
from benchmarks.http.__main__ import PACKAGES
from benchmarks.http.peers import PEERS, ROUTES, specification
from benchmarks.http.servers import Server, serving
from benchmarks.profile_orm import sections
from django_loom.lab import LoadPlan, run_load

METHOD = (
    "32 clients, the server on one core, sampled inside by the kernel's timer of CPU time: what "
    "waits counts nothing, and nothing is slowed down as it is under a tracing profiler. The cost "
    "per request is the CPU time of the server's processes for a known number of requests, without "
    "the sampler; its parts are the sampled shares of it. What C code does counts for the Python "
    "line that called it, what uvloop does between callbacks for the event loop."
)
IN_PROCESS = ("loom", "loom-sync-views", "gunicorn-sync")
ALONE, WHOLE = "Handler, URL and view, no middleware", "All"
READY_SECONDS = 10.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_http", description=__doc__)
    parser.add_argument("--peers", default="loom,gunicorn-sync", help="with commas; no threads")
    parser.add_argument("--routes", default="hello,orm", help="with commas")
    parser.add_argument("--seconds", type=float, default=16.0)
    parser.add_argument("--functions", type=int, default=40, help="how many functions to print")
    parser.add_argument("--lines", type=int, default=0, help="how many hot lines to print")
    parser.add_argument("--save", action="store_true", help="write results/profile_http.json")
    return parser.parse_args()


class Profile:
    """One server and one route."""

    def __init__(self, server: Server, route: str, cookie: str) -> None:
        chosen = harness.cores()
        self._server = server
        self._plan: dict[str, Any] = {
            "url": server.url(route),
            "clients": ROUTES[route].clients,
            "headers": (("Cookie", cookie),) if route == "session" else (),
            "core": chosen[1] if chosen else None,
        }

    def rate(self) -> float:
        """Requests per second, when the server has warmed up."""
        return run_load(LoadPlan(**self._plan, seconds=1.0)).requests_per_second

    def cost(self, requests: int) -> float:
        """CPU µs per request."""
        before = self._server.cpu()
        run_load(LoadPlan(**self._plan, requests=requests, warmup=0))
        return (self._server.cpu() - before) / requests * 1e6

    @contextmanager
    def sampled(self, output: Path) -> Iterator[None]:
        """Sample the process that answers: gunicorn's worker, not its arbiter."""
        pid = max(self._server.processes())
        os.kill(pid, signal.SIGUSR1)
        yield
        os.kill(pid, signal.SIGUSR2)
        ends = time.monotonic() + READY_SECONDS
        while not output.exists():
            if time.monotonic() > ends:
                raise TimeoutError(f"no samples within {READY_SECONDS:.0f} s")
            time.sleep(0.05)


def measure(
    peer: str, route: str, target: Target, cookie: str, answer: Any, seconds: float
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "samples")
        spec = specification(PEERS[peer], ROUTES[route].connections, None, vars(target))
        with serving({**spec, "samples": str(output)}) as server:
            tables.check(server, route, answer, cookie)
            profile = Profile(server, route, cookie)
            rate = profile.rate()
            cost = profile.cost(int(rate * seconds / 4))
            with profile.sampled(output):
                slowed = profile.cost(int(rate * seconds))
        return shares(json.loads(output.read_text()), cost) | {"cpu_us_while_sampled": slowed}


def layers(target: Target) -> dict[str, dict[str, float]]:
    """CPU µs that the handler alone and each middleware add to a hello, without a server."""
    found = {}
    for peer in IN_PROCESS:
        spec = specification(PEERS[peer], 32, None, vars(target))
        totals = harness.run_worker("benchmarks.http.layers", spec, timeout=120)
        steps = zip(totals, [0.0, *totals.values()], totals.values(), strict=False)
        found[peer] = {name or ALONE: total - before for name, before, total in steps}
        found[peer][WHOLE] = max(totals.values())
    return found


def layer_table(found: dict[str, dict[str, float]]) -> str:
    names = next(iter(found.values()))
    rows = [[name, *(f"{costs[name]:.1f}" for costs in found.values())] for name in names]
    return harness.markdown(["", *found], rows)


def shares(found: dict[str, dict[str, int]], cost: float) -> dict[str, Any]:
    """The cost of a request, split by the samples."""
    total = sum(found["parts"].values())
    return {
        "cpu_us": cost,
        "samples": total,
        **{
            key: {name: count / total * cost for name, count in counts.items()}
            for key, counts in found.items()
        },
    }


def text(result: dict[str, Any], functions: int, lines: int) -> str:
    found = result["found"]
    totals = ", ".join(
        f"{name} {figures['cpu_us']:.0f} ({figures['cpu_us_while_sampled']:.0f} while sampled, "
        f"{figures['samples']} samples)"
        for name, figures in found.items()
    )
    parts = [
        harness.conditions(result),
        "A hello in one process without a server, CPU µs that each layer adds:",
        layer_table(result["layers"]),
        f"CPU µs per request, with the server: {totals}.",
        *sections(found, functions, lines),
    ]
    return "\n\n".join(parts)


def main() -> int:
    options = arguments()
    found = {}
    with database() as target:
        cookie = tables.fill(target)
        added = layers(target)
        answers = tables.expected(target)
        for route in options.routes.split(","):
            for peer in options.peers.split(","):
                found[f"{route}, {peer}"] = measure(
                    peer, route, target, cookie, answers[route], options.seconds
                )
    result = {
        "machine": harness.machine(),
        "versions": harness.versions(PACKAGES),
        "method": METHOD,
        "options": {"seconds": options.seconds},
        "layers": added,
        "found": found,
    }
    print(text(result, options.functions, options.lines))
    if options.save:
        print(f"written to {harness.save('profile_http', result)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
