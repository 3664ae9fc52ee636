"""Medians of the HTTP benchmark's samples, and how to find one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from benchmarks.http.peers import PEERS, ROUTES

Sample = dict[str, Any]


def medians(samples: Sequence[Sample]) -> list[Sample]:
    """One row for each route and peer."""
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample["route"], sample["peer"]].append(sample)
    return [
        {"route": route, "peer": peer, **_middle(group)} for (route, peer), group in groups.items()
    ]


def _middle(group: Sequence[Sample]) -> dict[str, Any]:
    repeats = _by_repeat(group)
    rates = [rate for windows in repeats for rate in windows]
    found: dict[str, Any] = {
        # What slows a window down comes from outside, and comes and goes within a second.
        "per_second": median(max(windows) for windows in repeats),
        "mean": round(mean(rates), 2),
        "min": min(rates),
        "max": max(rates),
        "failures": sum(sample["failures"] for sample in group),
    }
    for key in ("p50_ms", "p99_ms", "server_busy", "generator_busy"):
        known = [sample[key] for sample in group if sample[key] is not None]
        found[key] = round(median(known), 3) if known else None
    busy, rate = found["server_busy"], found["per_second"]
    found["cpu_us"] = round(busy / rate * 1e6, 1) if busy and rate else None
    return found


def _by_repeat(group: Sequence[Sample]) -> list[list[float]]:
    repeats: dict[int, list[float]] = defaultdict(list)
    for sample in group:
        repeats[sample["repeat"]].append(sample["per_second"])
    return list(repeats.values())


def alone_medians(samples: Sequence[Sample]) -> list[Sample]:
    """CPU µs per request of plain Django without a server, for each route."""
    groups: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        groups[sample["route"]].append(sample["cpu_us"])
    return [
        {"route": route, "cpu_us": median(costs), "min": min(costs), "max": max(costs)}
        for route, costs in groups.items()
    ]


def memory_medians(samples: Sequence[Sample]) -> list[Sample]:
    """KiB per client, for each peer: when idle, and when waiting, its connection included."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample["peer"]].append(sample)
    return [{"peer": peer, **_middle_memory(group)} for peer, group in groups.items()]


def _middle_memory(group: Sequence[Sample]) -> dict[str, Any]:
    idle = [(s["idle"] - s["before"]) / s["clients"] / 1024 for s in group]
    # Connections beyond those that wait are idle, and keep what idle ones keep.
    each = [
        (s["waiting"] - s["before"]) / 1024 - (s["clients"] - s["count"]) * kept
        for s, kept in zip(group, idle, strict=True)
    ]
    waiting = [whole / s["count"] for whole, s in zip(each, group, strict=True) if s["count"]]
    return {
        "before_mib": round(median(s["before"] for s in group) / 2**20, 1),
        "idle_kib": round(median(idle), 1),
        "waiting_kib": round(median(waiting), 1) if waiting else None,
        "waiting_kib_min": round(min(waiting), 1) if waiting else None,
        "waiting_kib_max": round(max(waiting), 1) if waiting else None,
        "count": int(median(s["count"] for s in group)),
    }


class Figures:
    """The medians by name."""

    def __init__(self, found: Sequence[Sample]) -> None:
        self._rows = {(row["route"], row["peer"]): row for row in found}

    def peers(self) -> list[str]:
        return [peer for peer in PEERS if any(key[1] == peer for key in self._rows)]

    def routes(self) -> list[str]:
        return [route for route in ROUTES if any(key[0] == route for key in self._rows)]

    def row(self, route: str, peer: str) -> Sample | None:
        return self._rows.get((route, peer))

    def rate(self, route: str, peer: str, figure: str = "per_second") -> float | None:
        row = self.row(route, peer)
        return float(row[figure]) if row else None

    def ratio(self, route: str, one: str, two: str, figure: str = "per_second") -> float | None:
        first, second = self.rate(route, one, figure), self.rate(route, two, figure)
        return first / second if first is not None and second else None

    def best(self, route: str, peers: Sequence[str]) -> str | None:
        """The fastest of some peers, None if none of them ran."""
        known = [peer for peer in peers if self.rate(route, peer)]
        return max(known, key=lambda peer: self.rate(route, peer) or 0.0, default=None)
