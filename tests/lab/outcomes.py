"""Outcomes of experiments that were never run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_loom.lab.load.latencies import Latencies, Latency
from django_loom.lab.load.results import LoadResult
from django_loom.lab.outcomes.outcome import Outcome, Sample
from django_loom.lab.servers.catalogue import kind

CONDITIONS: dict[str, Any] = {
    "python": "CPython 3.13.0",
    "packages": {"Django": "6.1"},
    "load": [0.1, 0.2, 0.3],
    "keep-alive": True,
    "server core": None,
}


def load_result(rate: float, **changes: Any) -> LoadResult:
    """The result of a second in which so many requests were answered."""
    fields = {
        "requests": round(rate),
        "seconds": 1.0,
        "requests_per_second": rate,
        "latency": Latency(100.0, 101.0, 102.0, 103.0, 110.0, 100.5) if rate else None,
        "statuses": {200: round(rate)},
        "errors": {},
        "bytes": 1000,
        "histogram": Latencies().encoded(),
        "cpu_seconds": 0.1,
        "loop_lag_ms": 0.5,
        "loop": "uvloop",
        "ceiling_share": 0.1,
    }
    return LoadResult(**{**fields, **changes})


def outcome(
    rates: dict[str, dict[float, Iterable[float]]], experiment: str = "concurrency", **changes: Any
) -> Outcome:
    """An outcome with a sample of each of these rates, by server and number of clients."""
    samples = [
        Sample(server, clients, int(clients), 0.1, load_result(rate))
        for server, points in rates.items()
        for clients, each in points.items()
        for rate in each
    ]
    return Outcome(
        experiment,
        "2026-01-02T03:04:05+00:00",
        {server: kind(server).label for server in rates},
        CONDITIONS,
        **{"samples": samples, "complete": True, **changes},
    )


def usual() -> Outcome:
    """What concurrency shows on a machine that is not busy."""
    return outcome(
        {
            "aiohttp": {5: (49, 49.5, 50), 40: (390, 395, 398)},
            "sync": {5: (9.8, 9.9, 9.9), 40: (9.8, 9.9, 9.95)},
            "loom": {5: (48, 49, 49.5), 40: (380, 385, 396)},
        }
    )
