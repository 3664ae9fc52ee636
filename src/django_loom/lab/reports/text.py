"""The figures of one load as lines of text."""

from __future__ import annotations

from dataclasses import fields

from django_loom.lab.analysis.numbers import rounded
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.results import LoadResult


def load_lines(plan: LoadPlan, result: LoadResult) -> list[str]:
    """What a load gave, and what to know about it."""
    connection = "keep-alive" if plan.keep_alive else "close"
    lines = [
        f"{plan.method} {plan.url}: {plan.clients} clients, connection {connection}",
        f"answers (2xx)    {result.requests:,} in {result.seconds:.3f} s",
        f"requests/s       {rounded(result.requests_per_second)}",
    ]
    if result.latency:
        latency = result.latency
        names = [field.name for field in fields(latency)]
        lines.append(
            "latency in ms    " + ", ".join(f"{n} {rounded(getattr(latency, n))}" for n in names)
        )
    others = {status: n for status, n in result.statuses.items() if not 200 <= status < 300}
    if others:
        lines.append(f"other statuses   {counted(others)}")
    if result.errors:
        lines.append(f"errors           {counted(result.errors)}")
    if result.requests and result.near_ceiling:
        lines.append("The generator used over half of what it can do: it may be the limit.")
    if result.late:
        lines.append(f"The generator was {result.loop_lag_ms:.0f} ms late: latencies are too high.")
    return lines


def counted(counts: dict[int, int] | dict[str, int]) -> str:
    return ", ".join(f"{kind}: {count:,}" for kind, count in sorted(counts.items()))
