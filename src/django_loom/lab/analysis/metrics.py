"""The figures of a point that can be compared and asserted, by their names."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from statistics import median

from django_loom.lab.analysis.figures import PointFigures
from django_loom.lab.load.latencies import Latency


def latencies(of: Callable[[Latency], float]) -> Callable[[PointFigures], list[float]]:
    """What takes one percentile, in milliseconds, of each sample that has latencies."""

    def values(point: PointFigures) -> list[float]:
        return [of(latency) for each in point.samples if (latency := each.result.latency)]

    return values


# Each gives a value for every repeat of the point.
REPEATED: dict[str, Callable[[PointFigures], list[float]]] = {
    "rps": attrgetter("rates"),
    "p50": latencies(attrgetter("p50")),
    "p95": latencies(attrgetter("p95")),
    "p99": latencies(attrgetter("p99")),
    "time_per_request": attrgetter("times"),
}
FAILURES = "failures"
METRICS = (*REPEATED, FAILURES)


def value(point: PointFigures, metric: str) -> float | None:
    """One of `METRICS` as reports have it: the median of the repeats, failures added up.

    None for times of a point without a good answer; its requests per second are 0.
    """
    if metric == FAILURES:
        return float(point.failures)
    values = REPEATED[metric](point)
    if values:
        return median(values)
    return 0.0 if metric == "rps" else None
