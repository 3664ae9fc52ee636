"""The figures of an experiment: each point's samples, as medians with their intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from django_loom.lab.analysis.model import expected_rate, time_across_all, time_per_request
from django_loom.lab.analysis.statistics import Interval, interval
from django_loom.lab.load.latencies import Latency
from django_loom.lab.outcomes.outcome import Outcome, Sample
from django_loom.lab.servers.catalogue import kind


@dataclass(frozen=True)
class PointFigures:
    """The samples of one server at one value of what varies."""

    server: str
    x: float
    samples: tuple[Sample, ...]

    @property
    def clients(self) -> int:
        return self.samples[0].clients

    @property
    def expected(self) -> float | None:
        """Requests per second of the model; None where it is not known how long they wait."""
        if not (wait := self.samples[0].wait):
            return None
        at_once = kind(self.server).at_once
        if self.samples[0].at_once is not None:
            at_once = min(at_once, self.samples[0].at_once)
        return expected_rate(at_once, self.clients, wait)

    @property
    def rates(self) -> list[float]:
        """Requests per second of each sample that has any."""
        rates = (each.result.requests_per_second for each in self.samples)
        return [rate for rate in rates if rate]

    @property
    def times(self) -> list[float]:
        """The milliseconds per request of each sample that has any."""
        return [time_per_request(rate, self.clients) for rate in self.rates]

    @cached_property
    def rate(self) -> Interval | None:
        return interval(self.rates) if self.rates else None

    @cached_property
    def time(self) -> Interval | None:
        return interval(self.times) if self.times else None

    @cached_property
    def across(self) -> Interval | None:
        return interval([time_across_all(rate) for rate in self.rates]) if self.rates else None

    @property
    def requests(self) -> int:
        return sum(each.result.requests for each in self.samples)

    @property
    def failures(self) -> int:
        return sum(each.result.failures for each in self.samples)

    @property
    def doubtful(self) -> bool:
        """Whether the generator was late, or near what it can do, in half of the samples."""
        doubts = sum(each.result.late or each.result.near_ceiling for each in self.samples)
        return 2 * doubts >= len(self.samples)

    def latency(self, of: Callable[[Latency], float]) -> float | None:
        """The median over the samples of one of their percentiles, in milliseconds."""
        latencies = [each.result.latency for each in self.samples]
        values = [of(latency) for latency in latencies if latency]
        return median(values) if values else None


class Figures:
    """Every point of an outcome, by server and value."""

    def __init__(self, outcome: Outcome) -> None:
        self.labels = outcome.labels
        by_point: defaultdict[tuple[str, float], list[Sample]] = defaultdict(list)
        for sample in outcome.samples:
            by_point[sample.server, sample.x].append(sample)
        self._points = {
            (server, x): PointFigures(server, x, tuple(samples))
            for (server, x), samples in sorted(by_point.items(), key=lambda item: item[0][1])
        }

    @property
    def servers(self) -> list[str]:
        """The servers with any sample, in the order of the experiment."""
        measured = {server for server, _ in self._points}
        return [server for server in self.labels if server in measured]

    def of(self, server: str) -> list[PointFigures]:
        """The points of a server, by rising values."""
        return [point for (name, _), point in self._points.items() if name == server]

    def at(self, server: str, x: float) -> PointFigures | None:
        """One point, if it was measured."""
        return self._points.get((server, x))

    def values(self) -> list[float]:
        """The values of what varies, rising."""
        return sorted({x for _, x in self._points})

    def all(self) -> Iterable[PointFigures]:
        """Every point, server by server."""
        return [point for server in self.servers for point in self.of(server)]
