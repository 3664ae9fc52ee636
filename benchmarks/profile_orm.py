"""`python -m benchmarks.profile_orm`: what each microsecond of an operation goes to."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks import harness
from benchmarks.database import database
from benchmarks.orm import CONNECTIONS, PACKAGES, TASKS

METHOD = (
    f"{TASKS} concurrent tasks (stock-sync: one) on one core, sampled by the kernel's timer of CPU "
    "time. The cost per operation is measured without the sampler; its parts are the sampled "
    "shares of it. What C code does counts for the Python line that called it."
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_orm", description=__doc__)
    parser.add_argument("--contenders", default="ours,stock-sync", help="with commas; no threads")
    parser.add_argument("--operation", default="get")
    parser.add_argument("--seconds", type=float, default=16.0)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--lines", type=int, default=0, help="how many hot lines to print")
    parser.add_argument("--functions", type=int, default=30, help="how many functions to print")
    parser.add_argument("--save", action="store_true", help="write results/profile.json")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    found = {}
    with database() as target:
        for contender in options.contenders.split(","):
            target.refill()
            spec = {
                "contender": contender,
                "operation": options.operation,
                "target": vars(target),
                "tasks": TASKS,
                "connections": CONNECTIONS,
                "seconds": options.seconds,
                "loop": options.loop,
            }
            found[contender] = harness.run_worker(
                "benchmarks.profile_worker", spec, options.seconds * 2 + 30
            )
    return found


def side_by_side(found: dict[str, Any], key: str, limit: int | None = None) -> str:
    """One row for each name that the first contender or another has, the costliest first."""
    names: dict[str, float] = {}
    for figures in found.values():
        for name, cost in figures[key].items():
            names[name] = max(cost, names.get(name, 0.0))
    order = sorted(names, key=lambda name: -names[name])[:limit]
    rows = [[name, *(f"{f[key].get(name, 0):.1f}" for f in found.values())] for name in order]
    return harness.markdown([key, *found], rows)


def text(result: dict[str, Any], functions: int, lines: int) -> str:
    found = result["found"]
    totals = ", ".join(
        f"{name} {figures['cpu_us']:.0f} ({figures['cpu_us_while_sampled']:.0f} while sampled, "
        f"{figures['samples']} samples)"
        for name, figures in found.items()
    )
    parts = [
        harness.conditions(result),
        f"CPU µs per operation: {totals}.",
        *sections(found, functions, lines),
    ]
    return "\n\n".join(parts)


def sections(found: dict[str, Any], functions: int, lines: int) -> list[str]:
    """What the samples say, with so many functions and lines; 0 leaves them out."""
    parts = ["Each microsecond once:", side_by_side(found, "parts")]
    if functions:
        parts += ["With all that they call:", side_by_side(found, "inclusive", functions)]
    if lines:
        parts += ["The line that ran:", side_by_side(found, "lines", lines)]
    return parts


def main() -> int:
    options = arguments()
    result = {
        "machine": harness.machine(),
        "versions": harness.versions(PACKAGES),
        "method": METHOD,
        "options": {"operation": options.operation, "loop": options.loop},
        "found": measure(options),
    }
    print(text(result, options.functions, options.lines))
    if options.save:
        print(f"written to {harness.save('profile', result)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
