"""`python -m benchmarks.bridge`: what `run_sync` and `await_` cost beside their peers."""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import Any

from benchmarks import harness

LOOPS = ["asyncio", "uvloop"]
KINDS = ["ready future", "trivial coroutine", "one loop trip"]
CALLS = [
    "plain await",
    "greenlet, bare",
    "run_sync",
    "run_sync, observed",
    "SQLAlchemy greenlet_spawn",
    "sync_to_async",
    "sync_to_async, not sensitive",
    "asyncio.to_thread",
    "run_in_executor",
    "run_in_executor, our threads",
    "Executor.run",
    "Executor.run_bare",
]
METHOD = (
    "One process per loop, on one core. In each round every case in turn runs many times; medians "
    "of the rounds. CPU is the process's own, all its threads. Hops are warm: the wrapper is made "
    "and its thread runs before the clock starts. A wait's price is its time less that of a plain "
    "`await` of the same in the same round."
)
SHARE_OF_HOP, ROUND_TRIP_US = 1 / 5, 1.5

Medians = dict[str, dict[str, float]]


def summary(samples: list[dict[str, Any]]) -> Medians:
    found: Medians = {}
    for case in dict.fromkeys(sample["case"] for sample in samples):
        mine = [sample for sample in samples if sample["case"] == case]
        found[case] = {key: median(s[key] for s in mine) for key in ("wall_us", "cpu_us")}
    for kind in KINDS:
        for how in ("await_", "SQLAlchemy await_only"):
            price = over_plain(samples, f"{how}: {kind}", f"await: {kind}")
            found[f"{how}: {kind}"]["over_await_us"] = price
    return found


def over_plain(samples: list[dict[str, Any]], case: str, plain: str) -> float:
    by_round = {(s["case"], s["round"]): s["cpu_us"] for s in samples}
    rounds = {s["round"] for s in samples}
    return median(by_round[case, turn] - by_round[plain, turn] for turn in rounds)


def goals(loop: str, found: Medians) -> list[dict[str, Any]]:
    checked = []
    for hop in ("sync_to_async", "sync_to_async, not sensitive"):
        share = found["run_sync"]["cpu_us"] / found[hop]["cpu_us"]
        checked.append(_goal(f"{loop}: run_sync / {hop}", share, SHARE_OF_HOP))
    for kind in KINDS:
        price = found[f"await_: {kind}"]["over_await_us"]
        checked.append(_goal(f"{loop}: await_ over await, {kind}, µs", price, ROUND_TRIP_US))
    return checked


def _goal(text: str, measured: float, most: float) -> dict[str, Any]:
    return {
        "text": text,
        "required": f"≤ {most:g}",
        "aim": f"≤ {most / 2:g}",
        "measured": round(measured, 3),
        "met": measured <= most,
    }


def text(result: dict[str, Any]) -> str:
    loops: dict[str, Medians] = result["medians"]
    columns = [f"{loop}: {unit}" for loop in loops for unit in ("CPU µs", "µs")]
    rows = [
        [call, *(f"{loops[o][call][key]:.2f}" for o in loops for key in ("cpu_us", "wall_us"))]
        for call in CALLS
    ]
    prices = [
        [f"{how}: {kind}", *(f"{loops[o][f'{how}: {kind}']['over_await_us']:.2f}" for o in loops)]
        for kind in KINDS
        for how in ("await_", "SQLAlchemy await_only")
    ]
    checked = [[*list(goal.values())[:-1], _met(goal)] for goal in result["goals"]]
    return "\n\n".join(
        [
            harness.conditions(result),
            "A call of a trivial synchronous function from a coroutine:",
            harness.markdown(["", *columns], rows),
            "A wait from synchronous code, CPU µs over a plain `await` of the same:",
            harness.markdown(["", *loops], prices),
            harness.markdown(["goal", "required", "aim", "measured", "met"], checked),
        ]
    )


def _met(goal: dict[str, Any]) -> str:
    return "yes" if goal["met"] else "**no**"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridge", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds; nothing is written")
    quick = parser.parse_args().quick
    options = {"rounds": 3 if quick else 21, "times": 2000 if quick else 5000}
    result: dict[str, Any] = {
        "machine": harness.machine(),
        "versions": harness.versions(["greenlet", "asgiref", "sqlalchemy", "uvloop"]),
        "method": METHOD,
        "options": options,
    }
    samples = {
        loop: harness.run_worker("benchmarks.bridge_worker", {"loop": loop, **options}, 120)
        for loop in LOOPS
    }
    result["medians"] = {loop: summary(found) for loop, found in samples.items()}
    result["goals"] = [g for loop, found in result["medians"].items() for g in goals(loop, found)]
    result["samples"] = [{"loop": loop, **s} for loop, found in samples.items() for s in found]
    print(text(result))
    if not quick:
        print(f"written to {harness.save('bridge', result)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
