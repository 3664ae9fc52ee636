"""Latencies in an HDR histogram of three significant digits, from 1 microsecond to an hour."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django_loom.lab.exceptions import MissingPackage

try:
    from hdrh.histogram import HdrHistogram
except ImportError as error:
    raise MissingPackage.of_extra("the lab", "hdrhistogram") from error

HIGHEST_MICROSECONDS = 3_600_000_000
DIGITS = 3
SUB_BUCKET_BITS = 11  # what three digits take: 2,048 steps in each power of two
PERCENTILES = (50.0, 90.0, 95.0, 99.0)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; each is exact to three digits."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    mean: float


class Latencies:
    """Counts durations; its memory does not grow with their number."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: defaultdict[int, int] = defaultdict(int)

    def record(self, seconds: float) -> None:
        """Count one duration, given in seconds; one over an hour counts as an hour."""
        # The histogram's own record_value() takes a tenth of the generator's time. This rounds to
        # the same steps and leaves the rest for the end.
        microseconds = int(seconds * 1e6)
        shift = microseconds.bit_length() - SUB_BUCKET_BITS
        if shift > 0:
            microseconds = microseconds >> shift << shift
        self._counts[microseconds] += 1

    def encoded(self) -> str:
        """The histogram in HdrHistogram's V2 compressed form, as base64."""
        histogram = empty()
        for microseconds, count in self._counts.items():
            histogram.record_value(min(max(microseconds, 0), HIGHEST_MICROSECONDS), count)
        return bytes(histogram.encode()).decode()

    def summary(self) -> Latency | None:
        """What was counted, in milliseconds; None if nothing was."""
        return summary_of(self.encoded())


def empty() -> Any:
    return HdrHistogram(1, HIGHEST_MICROSECONDS, DIGITS)


def merged(encoded: Iterable[str]) -> str:
    """One encoded histogram with the counts of all."""
    histogram = empty()
    for each in encoded:
        histogram.decode_and_add(each)
    return bytes(histogram.encode()).decode()


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds: the least, the mean with its standard deviation, the median, the greatest."""

    min: float
    mean: float
    deviation: float
    median: float
    max: float
    percentiles: dict[int, float]


def spread_of(encoded: str, shares: Iterable[int]) -> Spread:
    """How an encoded histogram is spread, with the percentiles that are asked for."""
    found = HdrHistogram.decode(encoded)
    return Spread(
        found.get_min_value() / 1000,
        found.get_mean_value() / 1000,
        found.get_stddev() / 1000,
        found.get_value_at_percentile(50) / 1000,
        found.get_max_value() / 1000,
        {share: found.get_value_at_percentile(share) / 1000 for share in shares},
    )


def summary_of(encoded: str) -> Latency | None:
    """The percentiles of an encoded histogram in milliseconds; None if it is empty."""
    histogram = HdrHistogram.decode(encoded)
    # The histogram's own methods ask for each of its 25,000 counts by a call, for each figure.
    steps = [(index, count) for index, count in enumerate(histogram.counts) if count]
    if not steps:
        return None
    lows = [histogram.get_value_from_index(index) for index, _ in steps]
    highs: list[float] = [histogram.get_highest_equivalent_value(low) for low in lows]
    up_to = list(accumulate(count for _, count in steps))
    total = up_to[-1]
    middles = sum(
        count * (low + high) / 2 for (_, count), low, high in zip(steps, lows, highs, strict=True)
    )

    def percentile(share: float) -> float:
        return highs[bisect_left(up_to, max(1, round(total * share / 100)))] / 1000

    p50, p90, p95, p99 = (percentile(share) for share in PERCENTILES)
    return Latency(p50, p90, p95, p99, max=highs[-1] / 1000, mean=middles / total / 1000)
