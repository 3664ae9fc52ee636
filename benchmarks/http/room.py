"""What plain Django costs without a server, beside what a bar against another server allows."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness import markdown
from benchmarks.http.figures import Figures, Sample
from benchmarks.http.goals import BARS, LEAST
from benchmarks.http.peers import STOCK


def room_table(figures: Figures, alone: Sequence[Sample]) -> str:
    """A row for each route: plain Django's cost, and the room that the bar leaves beside it."""
    wanted = LEAST, STOCK[:1]
    bars = {route: bar for kind, route, _, peers, bar in BARS if (kind, peers) == wanted}
    rows = []
    for row in alone:
        rate, bar = figures.rate(row["route"], STOCK[0]), bars.get(row["route"])
        allowed = 1e6 / (bar * rate) if bar and rate else None
        rows.append(
            [
                row["route"],
                f"{row['cpu_us']:,.0f}",
                f"{row['min']:,.0f}-{row['max']:,.0f}",
                f"{bar:g} times" if bar else "-",
                f"{allowed:,.0f}" if allowed else "-",
                f"{allowed - row['cpu_us']:,.0f}" if allowed else "-",
            ]
        )
    heads = ["plain Django", "of the repeats", "bar against stock ASGI", "allows", "leaves"]
    return markdown(["CPU µs per request", *heads], rows)
